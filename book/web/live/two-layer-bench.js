// Two-layer bench: a few spikes, each a pattern of spikes of the layer above, each a short wave; and what a layered pursuit
// makes of the signal. Data: {length, layers: [{filters, atoms, kernel}, ...], spikes, noise, levels}.
deepatomsLive.define("two-layer-bench", (figure, data) => {
  const { element, button, slider, field, choice, drawn, said, random, numbers, frame } = deepatomsLive;
  const { body, answer, guarded } = frame(figure);
  const L = deepatomsLayers, { length } = data, DRAWS = 20, MOST = 8, ENTRIES = 60, LEAST = 0.01, ENDS = [0.8, 1.2];
  const KINDS = { "soft thresholding": "soft", "ReLU": "nonnegative", "hard thresholding": "hard", "basis pursuit": "basis" };
  const built = change => data.layers.map(({ filters, atoms, kernel }, i) => L.layer(i ? numbers(filters).map(change) : numbers(filters), atoms, kernel, length));
  const SIGNS = { "both signs": built(value => value), "positive": built(Math.abs) };
  let name = "soft thresholding", signs = "both signs", { spikes, noise } = data, levels = [...data.levels], seed = 1;

  // One draw: spikes as far apart as a few trials bring them, their sizes, and a noise. More spikes are the same ones and others.
  function draws(start) {
    const draw = random(start), gauss = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw()), places = [];
    const apart = place => Math.min(length, ...places.map(other => Math.min(Math.abs(place - other), length - Math.abs(place - other))));
    const made = Array.from({ length: MOST }, () => {
      const tries = Array.from({ length: 40 }, () => Math.floor(length * draw()));
      places.push(tries.reduce((best, place) => apart(place) > apart(best) ? place : best));
      return { place: places.at(-1), atom: Math.floor(data.layers[1].atoms * draw()), value: (0.95 + 0.05 * draw()) * (draw() < 0.5 ? -1 : 1) };
    });
    return { made, direction: Float64Array.from({ length }, gauss) };
  }

  // The true codes of both layers and the signal with its noise, of which the fullest patch has the chosen norm.
  function signal(start) {
    const { made, direction } = draws(start), [first, second] = SIGNS[signs], deep = new Float64Array(second.atoms * length);
    for (const { place, atom, value } of made.slice(0, spikes)) deep[atom * length + place] = signs === "positive" ? Math.abs(value) : value;
    const code = L.synthesize(second, deep).map(value => Math.abs(value) < 1e-12 ? 0 : value), size = L.patchNorm(direction, first.kernel, length);
    return { codes: [code, deep], x: L.synthesize(first, code).map((value, i) => value + noise * direction[i] / size) };
  }

  function compared(code, estimate) {
    const pick = test => [...code.keys()].filter(test);
    return { estimate, code, found: pick(j => code[j] && estimate[j]), lost: pick(j => code[j] && !estimate[j]), invented: pick(j => !code[j] && estimate[j]) };
  }

  function trial(start) {
    const { codes, x } = signal(start), layers = SIGNS[signs], kind = KINDS[name];
    const found = L.pursue(layers, x, levels, kind, ENTRIES).map((estimate, i) => compared(codes[i], estimate));
    const given = spikes ? L.numbers(layers, codes) : null;
    const promised = given && L.guarantees(given, noise, levels, kind);
    // What is proved of two-sided thresholding holds for the ReLU where no entry is negative.
    const covered = Boolean(promised?.at(-1).holds && (kind !== "nonnegative" || codes.every(code => code.every(value => value >= 0))));
    return { codes, x, found, given, promised, covered };
  }

  // ---- the picture: the signal, and a row of spikes for each layer ----

  const WIDE = 640, narrow = matchMedia("(max-width: 560px)").matches, HIGH = narrow ? 200 : 76;
  const seen = drawn("svg", { viewBox: `0 0 ${WIDE} ${narrow ? 120 : 44}`, class: "deepatoms-spikes", role: "img", "aria-label": "The signal with its noise" });
  const wave = drawn("path", { class: "deepatoms-wave" }, seen);
  const panels = data.layers.map(() => ({ svg: drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "deepatoms-spikes", role: "img" }), title: element("p", { class: "deepatoms-key" }) }));
  const windows = data.layers.map(() => {
    const bar = { edge: element("i"), here: element("b"), text: element("span", { class: "deepatoms-value" }) };
    bar.node = element("div", { class: "deepatoms-slider" }, element("span", {}, "The theorem asks for"), element("span", { class: "deepatoms-limit" }, bar.edge, bar.here), bar.text);
    return bar;
  });
  const redraw = guarded(show);
  const ranges = data.layers.map((_, i) => ({ min: LEAST, max: ENDS[i], step: "any", value: levels[i] }));
  const tuned = ranges.map((range, i) => slider(`Threshold of layer ${i + 1}`, range, value => said(value, 3), value => { levels[i] = value; typed[i].set(value); redraw(); }));
  const typed = ranges.map((range, i) => field(`Threshold of layer ${i + 1}, typed`, range, guarded, value => { levels[i] = value; tuned[i].set(value); redraw(); }));
  body.append(element("div", { class: "deepatoms-row" }, choice("The pursuit", Object.keys(KINDS), name, chosen => { name = chosen; redraw(); })),
    element("p", { class: "deepatoms-key" }, "The signal"), seen, ...panels.flatMap(({ title, svg }) => [title, svg]),
    element("div", { class: "deepatoms-sliders" }, ...tuned.flatMap((node, i) => [node, windows[i].node]),
      slider("Norm of the noise", { min: 0, max: 0.6, step: 0.001, value: noise }, value => said(value, 3), value => { noise = value; redraw(); }),
      slider("Spikes", { min: 0, max: MOST, step: 1, value: spikes }, String, value => { spikes = value; redraw(); })),
    element("div", { class: "deepatoms-row" }, element("span", {}, "Thresholds"), ...typed, button("The theorem's thresholds", guarded(takeThresholds))),
    element("div", { class: "deepatoms-row" }, button("New draw", () => { seed++; redraw(); }), button(`${DRAWS} draws`, guarded(many)),
      choice("The entries", Object.keys(SIGNS), signs, chosen => { signs = chosen; redraw(); })));

  function rows({ svg, title }, i, { code, estimate, found, lost, invented }, text) {
    const most = 1.05 * Math.max(0.6, ...estimate.map(Math.abs), ...code.map(Math.abs)), maps = code.length / length;
    const at = j => (6 + (WIDE - 12) * (j % length + (Math.floor(j / length) + 0.5) / maps) / length).toFixed(1);  // a ring fits beside the last
    const down = value => (HIGH / 2 - (HIGH / 2 - 6) * value / most).toFixed(1);
    svg.replaceChildren();
    drawn("path", { d: `M0 ${HIGH / 2}H${WIDE}`, class: "deepatoms-axis" }, svg);
    const stems = (list, kind) => drawn("path", { d: list.map(j => `M${at(j)} ${HIGH / 2}V${down(estimate[j])}`).join(""), class: kind }, svg);
    stems(invented, "deepatoms-invented");
    stems(found, "deepatoms-found");
    code.forEach((value, j) => { if (value) drawn("circle", { cx: at(j), cy: down(value), r: 4.5, class: "deepatoms-true" }, svg); });
    for (const j of lost) drawn("path", { d: `M${at(j)} ${down(code[j])}m-7 -7l14 14m0 -14l-14 14`, class: "deepatoms-lost" }, svg);
    title.textContent = `Layer ${i + 1}: ${text}`;
    svg.setAttribute("aria-label", `Entries of layer ${i + 1}: ${words({ found, lost, invented })}`);
  }

  const words = ({ found, lost, invented }) => `${found.length} found` + (lost.length ? `, ${lost.length} lost` : "") + (invented.length ? `, ${invented.length} invented` : "");
  const below = limit => limit === Infinity ? "any number" : limit > 0 ? `fewer than ${said(limit)}` : "none";

  // The window of thresholds under its slider, with the threshold.
  function ruler({ edge, here, text }, i, promise) {
    const share = value => 100 * Math.max(0, Math.min(1, (value - LEAST) / (ENDS[i] - LEAST))), point = promise?.lower === promise?.upper;
    const open = promise && (point || promise.lower < promise.upper);
    edge.style.left = `${open ? share(promise.lower) : 0}%`;
    edge.style.width = open ? `${Math.max(share(promise.upper) - share(promise.lower), point ? 1 : 0)}%` : "0";
    here.style.left = `${share(levels[i])}%`;
    text.textContent = !open ? "none" : point ? said(promise.lower, 3) : `${said(promise.lower)} to ${said(promise.upper)}`;
  }

  function show() {
    for (const { svg, title } of panels) { svg.replaceChildren(); title.textContent = ""; }  // nothing old stands beside a refusal
    const now = trial(seed), { x, found, given, promised } = now, tall = narrow ? 120 : 44, size = Math.max(0.3, ...x.map(Math.abs));
    wave.setAttribute("d", [...x].map((value, i) => `${i ? "L" : "M"}${(6 + (WIDE - 12) * (i + 0.5) / length).toFixed(1)} ${(tall / 2 - (tall / 2 - 3) * value / size).toFixed(1)}`).join(""));
    found.forEach((layer, i) => {
      const limits = given ? `. ${given[i].stripes} in its fullest stripe; unique: ${below(L.unique(given[i]))}, ${name} covered: ${below(promised[i].limit)}` : "";
      rows(panels[i], i, layer, words(layer) + limits);
      ruler(windows[i], i, promised?.[i]);
    });
    answer.textContent = `${spikes === 1 ? "1 spike" : `${spikes} spikes`}, noise ${said(noise, 3)}, ${name}. ` +
      found.map((layer, i) => `Layer ${i + 1}: ${words(layer)}`).join("; ") + `. ${given ? verdict(now) : "There is no code: whatever is found is invented."}`;
  }

  // Whether the theorem speaks, and if not, what it lacks; with the error beside its bound.
  function verdict({ codes, found, given, promised, covered }) {
    const off = found[1].estimate.reduce((most, value, j) => Math.max(most, norm(found[1].estimate, codes[1], j)), 0);
    if (covered) return `The theorem covers this draw: ${name === "basis pursuit" ? "nothing can be invented" : "every support must be found"}, and at no position of layer 2 is the error above ${said(promised[1].error)}; it is ${said(off)}.`;
    const exact = found.every(({ lost, invented }) => !lost.length && !invented.length);
    return `The theorem does not cover this draw: ${lack(given, promised)}.${exact ? " Everything is found all the same." : ""}`;
  }

  function norm(estimate, code, j) {
    let sum = 0;
    for (let at = j % length; at < code.length; at += length) sum += (estimate[at] - code[at]) ** 2;
    return Math.sqrt(sum);
  }

  function lack(given, promised) {
    const i = promised.findIndex(({ fits }) => !fits), layer = `layer ${i + 1}`;
    if (i < 0) return "the ReLU loses what is negative";
    const { lower, upper } = promised[i], now = said(levels[i], 3);
    if (name === "basis pursuit" && given[i].stripes < promised[i].limit) return `it asks for the weight ${said(lower, 3)} at ${layer}, not ${now}`;
    if (name === "basis pursuit") return `${layer} has ${given[i].stripes} entries in its fullest stripe and may have ${below(promised[i].limit)}`;
    return lower < upper ? `the threshold of ${layer} is ${now} and must lie between ${said(lower, 3)} and ${said(upper, 3)}` : `${layer} has no sure threshold: it would have to be above ${said(lower)} and below ${said(upper)}`;
  }

  function takeThresholds() {
    if (!spikes) throw new Error("without a spike there is no threshold to choose");
    const wanted = L.thresholds(L.numbers(SIGNS[signs], signal(seed).codes), noise, KINDS[name]);
    levels = wanted.map((level, i) => Math.max(LEAST, Math.min(ENDS[i], level)));
    for (const nodes of [tuned, typed]) nodes.forEach((node, i) => node.set(levels[i]));
    show();
  }

  function many() {
    const trials = Array.from({ length: DRAWS }, (_, turn) => trial(seed + 1 + turn)), exact = ({ lost, invented }) => !lost.length && !invented.length;
    const count = test => trials.filter(test).length;
    answer.textContent = `Of ${DRAWS} other draws with these thresholds, ${name} finds the support of layer 1 in ${count(({ found }) => exact(found[0]))}, of both layers in ` +
      `${count(({ found }) => found.every(exact))}; the theorem covers ${count(({ covered }) => covered)}.`;
  }

  redraw();
  return { trial, layers: () => SIGNS[signs], state: () => ({ name, signs, spikes, noise, levels, seed }),
    set: change => { ({ name, signs, spikes, noise, levels, seed } = { name, signs, spikes, noise, levels, seed, ...change }); redraw(); } };
});
