// Architecture chooser: the least frame potential of a network by depth, width, family and budget, without data or training.
// Data: {input, classes, chains: [net, ...], recorded: {family: [net, ...]}, start}; a net is {name, depth, width, parameters, F}; start holds the first choice.
deepatomsLive.define("architecture-chooser", (figure, data) => {
  const { element, button, slider, choice, drawn, said, frame } = deepatomsLive;
  const { body, answer, guarded } = frame(figure);
  const CHAIN = "fully connected chain", WIDE = 640, HIGH = matchMedia("(max-width: 560px)").matches ? 480 : 300, LEFT = 64, MOST = 1024;
  const names = [CHAIN, ...Object.keys(data.recorded)];
  let { family, depth, width, growth, place, budget } = data.start;

  // The least energy of a chain, the theorem's programme: e_j + e_j^2 / min(k_(j-1), a_j) summed over the layers, e_j = max(a_j - a_(j-1), 0),
  // least over the numbers a_j of pure parameter atoms; F is the root of it over the number of pairs.
  function chainMinimum(widths) {
    const last = widths.length - 1;
    let best = [0], states = [widths[0]];
    for (let j = 1; j <= last; j++) {
      const own = j === last ? [widths[j]] : Array.from({ length: widths[j] + 1 }, (_, a) => a);
      best = own.map(a => {
        let least = Infinity;
        for (let s = 0; s < states.length; s++) {
          const excess = Math.max(a - states[s], 0), cost = best[s] + excess + excess * excess / Math.max(Math.min(widths[j - 1], a), 1);
          if (cost < least) least = cost;
        }
        return least;
      });
      states = own;
    }
    const hidden = widths.slice(1), pairs = hidden.reduce((sum, k, j) => sum + k * (k - 1) + 2 * k * (hidden[j + 1] ?? 0), 0);
    return pairs ? Math.sqrt(best[0] / pairs) : 0;
  }

  // Weights and biases, those of the classifier too.
  const parameters = widths => [...widths, data.classes].reduce((sum, k, j, all) => j ? sum + k * (all[j - 1] + 1) : 0, 0);

  function chain() {
    const hidden = Array.from({ length: depth }, (_, j) => Math.round(width * growth ** j));
    if (Math.max(...hidden) > MOST) throw new Error(`a layer of ${Math.max(...hidden)} units is more than the ${MOST} that this figure takes; make it narrower`);
    const widths = [data.input, ...hidden];
    return { name: hidden.join("-"), depth, width, parameters: parameters(widths), F: chainMinimum(widths) };
  }

  const nets = () => family === CHAIN ? data.chains : Object.values(data.recorded).flat();
  const own = () => data.recorded[family];
  const sorted = list => [...new Set(list)].sort((a, b) => a - b);

  // A chain is computed; of another family the recorded network of that depth and width is taken, if there is one.
  function chosen() {
    if (family === CHAIN) return chain();
    const depths = sorted(own().map(net => net.depth)), d = depths[Math.round(place[0] * (depths.length - 1))];
    const widths = sorted(own().filter(net => net.depth === d).map(net => net.width));
    return own().find(net => net.depth === d && net.width === widths[Math.round(place[1] * (widths.length - 1))]);
  }

  // ---- the picture ----

  const svg = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "deepatoms-chart", role: "img" });
  const sliders = element("div", { class: "deepatoms-sliders" });
  const redraw = guarded(show);
  body.append(element("div", { class: "deepatoms-row" }, choice("The family", names, family, name => { family = name; settle(); })), svg, sliders,
    element("div", { class: "deepatoms-row" }, button("Lowest F in the budget", guarded(takeLowest))));

  const small = F => F === 0 ? "0" : F.toPrecision(3);
  const many = count => Math.round(count).toLocaleString("en-GB");
  const ends = () => { const sizes = nets().map(net => Math.log(net.parameters)); return [Math.min(...sizes), Math.max(...sizes)]; };
  const limit = () => {  // in three figures, so that what is printed is what counts
    const [low, high] = ends(), exact = Math.exp(low + budget * (high - low)), unit = 10 ** (Math.floor(Math.log10(exact)) - 2);
    return budget === 1 ? Infinity : Math.ceil(exact / unit) * unit;
  };
  const allowed = () => limit() === Infinity ? "any" : many(limit());

  function settle() {
    const byPlace = (i, what) => slider(what, { min: 0, max: 1, step: 0.01, value: place[i] }, () => String(i ? chosen().width : chosen().depth), value => { place[i] = value; redraw(); });
    sliders.replaceChildren(...(family === CHAIN ? [
      slider("Hidden layers", { min: 1, max: 5, step: 1, value: depth }, String, value => { depth = value; redraw(); }),
      slider("Units in the first", { min: 4, max: 128, step: 1, value: width }, String, value => { width = value; redraw(); }),
      slider("Each wider by", { min: 0.5, max: 2, step: 0.05, value: growth }, value => `\u00d7 ${said(value)}`, value => { growth = value; redraw(); }),
    ] : [byPlace(0, "Layers"), byPlace(1, "Width")]),
    slider("Budget, parameters", { min: 0, max: 1, step: 0.005, value: budget }, value => { budget = value; return allowed(); }, redraw));
    redraw();
  }

  function show() {
    svg.replaceChildren();  // nothing old stands beside a refusal
    const net = chosen(), all = nets(), affordable = all.filter(each => each.parameters <= limit());
    const lowest = affordable.reduce((best, each) => !best || each.F < best.F ? each : best, null);
    chart(net, all, lowest);
    const ties = affordable.filter(each => each.F === lowest.F).length, below = affordable.filter(each => each.F < net.F).length, within = net.parameters <= limit();
    const lead = `${net.name[0].toUpperCase()}${net.name.slice(1)} has ${many(net.parameters)} parameters and least F ${small(net.F)}${net.F === 0 ? ": its atoms can all be orthogonal" : ""}. `;
    const stands = !affordable.length ? "No recorded network fits this budget." : `Of the ${affordable.length} networks drawn${limit() === Infinity ? "" : ` that fit ${allowed()} parameters`}, ` +
      `${below} ${below === 1 ? "has" : "have"} a lower F; ` + (ties > 1 ? `the lowest, ${small(lowest.F)}, is shared by ${ties}: between them F does not choose.`
        : `the lowest is ${lowest.name} with ${small(lowest.F)}.`);
    answer.textContent = lead + (within ? "" : "It is beyond the budget. ") + stands +
      (family === CHAIN ? " This F is the exact minimum with free magnitudes." : " This F is what descent reached with filters of norm one: not to be compared with the closed form.");
  }

  function chart(net, all, lowest) {
    const [low, high] = ends(), top = 1.05 * Math.max(net.F, ...all.map(each => each.F)) || 1;
    const x = count => LEFT + (WIDE - LEFT - 14) * (Math.log(count) - low) / (high - low || 1), y = F => HIGH - 34 - (HIGH - 50) * F / top;
    drawn("path", { d: `M${LEFT} 10V${HIGH - 34}H${WIDE}`, class: "deepatoms-axis" }, svg);
    const text = (at, down, words, anchor) => { drawn("text", { x: at, y: down, "text-anchor": anchor }, svg).textContent = words; };
    for (const power of [3, 4, 5, 6, 7]) if (power * Math.LN10 >= low && power * Math.LN10 <= high) text(x(10 ** power), HIGH - 14, many(10 ** power), "middle");
    text(WIDE - 4, HIGH - 40, "parameters", "end");
    text(LEFT + 6, 22, "least F", "start");
    const unit = 10 ** Math.floor(Math.log10(top));
    for (let F = unit; F < top; F += unit) text(LEFT - 5, y(F) + 5, said(F, unit < 0.1 ? 2 : 1), "end");
    for (const [f, list] of family === CHAIN ? [[0, all]] : Object.values(data.recorded).entries()) for (const each of list)
      drawn("path", { d: `M${x(each.parameters).toFixed(1)} ${y(each.F).toFixed(1)}${["m-4 0h8m-4 -4v8", "m-4 -4l8 8m0 -8l-8 8", "m-4 -3h8v6h-8z", "m0 -5l5 5l-5 5l-5 -5z"][f]}`,
        class: `deepatoms-net ${list === own() || family === CHAIN ? "deepatoms-ours" : ""}` }, svg);
    if (limit() !== Infinity) drawn("path", { d: `M${x(limit()).toFixed(1)} 10V${HIGH - 34}`, class: "deepatoms-budget" }, svg);
    if (lowest) drawn("circle", { cx: x(lowest.parameters), cy: y(lowest.F), r: 9, class: "deepatoms-lowest" }, svg);
    drawn("circle", { cx: Math.max(LEFT, Math.min(WIDE - 6, x(net.parameters))), cy: y(net.F), r: 7, class: "deepatoms-chosen" }, svg);
    svg.setAttribute("aria-label", `${all.length} networks, least F against the number of parameters; ${net.name} is marked`);
  }

  // Take the recorded network of lowest F that the budget allows (of this family).
  function takeLowest() {
    const found = (family === CHAIN ? data.chains : own()).filter(each => each.parameters <= limit()).reduce((best, each) => !best || each.F < best.F ? each : best, null);
    if (!found) throw new Error("no recorded network of this family fits the budget; raise it");
    if (family === CHAIN) {
      const hidden = found.name.split("-").map(Number);
      [depth, width, growth] = [hidden.length, hidden[0], hidden.length > 1 ? hidden[1] / hidden[0] : 1];
    } else {
      const share = (value, list) => list.length > 1 ? list.indexOf(value) / (list.length - 1) : 0;
      place = [share(found.depth, sorted(own().map(net => net.depth))), share(found.width, sorted(own().filter(net => net.depth === found.depth).map(net => net.width)))];
    }
    settle();
  }

  settle();
  return { chainMinimum, parameters, chosen, set: change => { ({ family, depth, width, growth, place, budget } = { family, depth, width, growth, place, budget, ...change }); settle(); } };
});
