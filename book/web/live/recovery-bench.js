// Recovery bench: a code of a few atoms, some noise, and what three pursuits make of the signal.
// Data: {dictionaries: [{name, matrix, dimension}, ...] (rows one after the other), most, chosen, sparsity, noise}.
deepatomsLive.define("recovery-bench", (figure, data) => {
  const { element, button, slider, choice, drawn, said, random, numbers, frame } = deepatomsLive;
  const { body, answer, guarded } = frame(figure);
  const P = deepatomsPursuits, MOST = data.most, DRAWS = 20;
  const named = Object.fromEntries(data.dictionaries.map(({ name, matrix, dimension }) => [name, P.dictionary(numbers(matrix), dimension)]));
  const METHODS = ["matching pursuit", "basis pursuit", "thresholding"];
  let D = named[data.chosen], sparsity = data.sparsity, noise = data.noise, seed = 1;

  // One draw: an order of the atoms, a value for each, a direction of noise. More atoms are the same ones and others.
  function draws(start) {
    const draw = random(start), many = D.atoms.length, gauss = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
    const order = Array.from({ length: many }, (_, j) => [draw(), j]).sort((a, b) => a[0] - b[0]).map(pair => pair[1]);
    const values = Array.from({ length: many }, () => (1 + draw()) * (draw() < 0.5 ? -1 : 1));
    const away = Array.from({ length: D.dimension }, gauss), length = Math.hypot(...away);
    return { order, values, direction: away.map(value => value / length) };
  }

  // What each pursuit makes of a signal, and which of the true atoms are among its largest entries, as many as the code has.
  function solved(code, direction) {
    const x = P.synthesize(D, code).map((value, i) => value + noise * direction[i]), products = P.analyze(D, x);
    const count = code.reduce((sum, value) => sum + (value !== 0), 0);
    return [P.matching(D, products, count), P.basis(D, products, P.penalty(D, noise)), P.thresholding(products, count)].map(estimate => {
      const chosen = new Set(P.largest(estimate, count).filter(j => estimate[j] !== 0));
      const pick = test => [...code.keys()].filter(test);
      return { estimate, found: pick(j => code[j] && chosen.has(j)), lost: pick(j => code[j] && !chosen.has(j)), invented: pick(j => !code[j] && chosen.has(j)) };
    });
  }

  function trial(start) {
    const { order, values, direction } = draws(start), code = new Float64Array(order.length);
    for (const j of order.slice(0, sparsity)) code[j] = values[j];
    return { code, direction, pursuits: solved(code, direction) };
  }

  // ---- the picture: a row of spikes for each pursuit, and the limits under the slider ----

  const WIDE = 640, HIGH = matchMedia("(max-width: 560px)").matches ? 240 : 64, panels = METHODS.map(() => {
    const svg = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "deepatoms-spikes", role: "img" });
    return { svg, title: element("p", { class: "deepatoms-key" }) };
  });
  const bars = ["Both searches, no noise", "Basis pursuit, error bound", "Thresholding, this code"].map(name => {
    const bar = { name, edge: element("i"), here: element("b"), text: element("span", { class: "deepatoms-value" }) };
    bar.node = element("div", { class: "deepatoms-slider" }, element("span", {}, name), element("span", { class: "deepatoms-limit" }, bar.edge, bar.here), bar.text);
    return bar;
  });
  const redraw = guarded(show);
  body.append(...panels.flatMap(({ title, svg }) => [title, svg]),
    element("div", { class: "deepatoms-sliders" },
      slider("Atoms in the code", { min: 1, max: MOST, step: 1, value: sparsity }, String, value => { sparsity = value; redraw(); }), ...bars.map(({ node }) => node),
      slider("Norm of the noise", { min: 0, max: 3, step: 0.01, value: noise }, value => said(value), value => { noise = value; redraw(); })),
    element("div", { class: "deepatoms-row" }, element("span", {}, "Atoms:"),
      choice("The dictionary", Object.keys(named), data.chosen, name => { D = named[name]; redraw(); }), button("New draw", () => { seed++; redraw(); }),
      button(`${DRAWS} draws`, guarded(many))));

  function spikes({ svg, title }, name, code, { estimate, found, lost, invented }) {
    const most = Math.max(2.5, ...estimate.map(Math.abs)), at = j => (WIDE * (j + 0.5) / code.length).toFixed(1);
    const down = value => (HIGH / 2 - (HIGH / 2 - 8) * value / most).toFixed(1), chosen = new Set([...found, ...invented]);
    svg.replaceChildren();
    drawn("path", { d: `M0 ${HIGH / 2}H${WIDE}`, class: "deepatoms-axis" }, svg);
    estimate.forEach((value, j) => {
      if (value === 0) return;
      const kind = !chosen.has(j) ? "deepatoms-small" : code[j] ? "deepatoms-found" : "deepatoms-invented";
      drawn("path", { d: `M${at(j)} ${HIGH / 2}V${down(value)}`, class: kind }, svg);
    });
    code.forEach((value, j) => { if (value) drawn("circle", { cx: at(j), cy: down(value), r: 4.5, class: "deepatoms-true" }, svg); });
    for (const j of lost) drawn("path", { d: `M${at(j)} ${down(code[j])}m-7 -7l14 14m0 -14l-14 14`, class: "deepatoms-lost" }, svg);
    title.textContent = `${name[0].toUpperCase()}${name.slice(1)}: ${words({ found, lost, invented })}`;
    svg.setAttribute("aria-label", `Spikes of ${name}: ${words({ found, lost, invented })}`);
  }

  const words = ({ found, lost, invented }) => `${found.length} found` + (lost.length ? `, ${lost.length} lost` : "") + (invented.length ? `, ${invented.length} invented` : "");

  // Up to how many atoms the theorems speak, under the slider that chooses so many.
  function ruler(limits) {
    const share = atoms => `${100 * Math.max(0, Math.min(1, (atoms - 1) / (MOST - 1)))}%`;
    [limits.unique, limits.stable, limits.thresholding].forEach((limit, i) => {
      bars[i].edge.style.width = share(limit);
      bars[i].here.style.left = share(sparsity);
      bars[i].text.textContent = limit > 0 ? `< ${said(limit)}` : "none";
    });
  }

  function show() {
    const { code, pursuits } = trial(seed), sizes = [...code].filter(Boolean).map(Math.abs);
    const limits = P.limits(D.coherence, noise, Math.min(...sizes), Math.max(...sizes));
    panels.forEach((panel, i) => spikes(panel, METHODS[i], code, pursuits[i]));
    ruler(limits);
    answer.textContent = `${sparsity} of ${code.length} atoms in ${D.dimension} dimensions, noise ${said(noise)}. ` +
      METHODS.map((name, i) => `${name}: ${words(pursuits[i])}`).join("; ").replace(/^m/, "M") + `. ${promise(limits)}`;
  }

  function promise({ unique, stable, thresholding }) {
    const covers = limit => sparsity < limit;
    const noiseless = covers(unique) ? `below ${said(unique)} atoms both searches find every code, without noise` : `its promise without noise ends at ${said(unique)} atoms: what is found here is found without it`;
    const noisy = noise === 0 ? "" : ` Under noise the theorem bounds the error of basis pursuit below ${said(stable)} atoms${covers(stable) ? "" : ", not here"}.`;
    return `The coherence is ${said(D.coherence)}; ${noiseless}.${noisy} Thresholding is ${covers(thresholding) ? "" : "not "}covered.`;
  }

  function many() {
    const exact = METHODS.map(() => 0);
    for (let turn = 0; turn < DRAWS; turn++) trial(seed + 1 + turn).pursuits.forEach(({ lost, invented }, i) => { exact[i] += lost.length + invented.length === 0; });
    answer.textContent = `Of ${DRAWS} other draws of ${sparsity} atoms at this noise the whole support is found in: ${METHODS.map((name, i) => `${name} ${exact[i]}`).join(", ")}.`;
  }

  redraw();
  return { show, trial, draws, dictionary: () => D, set: change => { ({ sparsity, noise, seed } = { sparsity, noise, seed, ...change }); D = named[change.name] ?? D; redraw(); } };
});
