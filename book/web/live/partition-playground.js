// Partition playground: a planar network is trained on the reader's points, and its regions are drawn exactly, beside an untrained twin.
// Data: {points: [[x, y, class], ...], window: [left, right, bottom, top], layers, units, steps}.
deepatomsLive.define("partition-playground", (figure, data) => {
  const { element, button, slider, choice, drawn, said, random, frame } = deepatomsLive;
  const { body, answer, guarded } = frame(figure);
  const { window: box } = data, [left, right, bottom, top] = box;
  const MOST = 400, TURNS = 400, WIDE = 1000, HIGH = Math.round(WIDE * (top - bottom) / (right - left)), NAMES = ["blue", "orange"];
  let points = data.points.map(each => each.slice()), layers = data.layers, units = data.units, share = 0, seed = 1;
  let net, twin, untrained, memory, steps, labels, playing = null, tool = NAMES[0], cursor = [0.5, 0.5], held = null;

  const play = button("Play", guarded(() => playing ? stop() : start()));
  const panels = ["application", "img"].map(role => {
    const svg = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "deepatoms-regions", role });
    const parts = Object.fromEntries(["first", "second", "walls", "boundary"].map(name => [name, drawn("path", { class: `deepatoms-${name}` }, svg)]));
    return { svg, ...parts, dots: drawn("g", {}, svg), title: element("p", { class: "deepatoms-key" }) };
  });
  const pad = panels[0].svg, cross = drawn("path", { class: "deepatoms-cross" }, pad);
  pad.setAttribute("tabindex", "0");
  pad.setAttribute("aria-label", "The trained network’s regions and the points. Arrow keys move, space places a point, delete removes one.");
  panels[1].svg.setAttribute("aria-label", "The regions of the same network before training.");
  const percent = value => `${Math.round(100 * value)}\u00a0%`;
  const times = (count, word) => `${count.toLocaleString("en-GB")} ${word}${count === 1 ? "" : "s"}`;
  body.append(
    element("div", { class: "deepatoms-twins" }, ...panels.map(({ svg, title }) => element("div", {}, title, svg))),
    element("div", { class: "deepatoms-row" }, play, button("One step", guarded(() => { stop(); train(1); show(); })),
      button("Start again", guarded(() => { stop(); begin(); show(); })), button("New network", guarded(() => { stop(); seed++; begin(); show(); }))),
    element("div", { class: "deepatoms-row" }, element("span", {}, "A click:"), choice("What a click does", [...NAMES, "remove"], tool, chosen => { tool = chosen; }),
      button("No points", guarded(() => { points = []; changed(); })), button("Half-moons", guarded(() => { points = data.points.map(each => each.slice()); changed(); }))),
    element("div", { class: "deepatoms-sliders" },
      slider("Layers", { min: 1, max: 3, step: 1, value: layers }, String, guarded(value => { layers = value; stop(); begin(); show(); })),
      slider("Units a layer", { min: 1, max: 16, step: 1, value: units }, String, guarded(value => { units = value; stop(); begin(); show(); })),
      slider("Labels shuffled", { min: 0, max: 1, step: 0.05, value: share }, percent, guarded(value => { share = value; changed(); }))));

  // A new network and its twin from the same first weights.
  function begin() {
    net = deepatomsPlanar.fresh([2, ...Array(layers).fill(units), 2], random(seed));
    [twin, untrained, memory, steps] = [deepatomsPlanar.copy(net), null, {}, 0];
  }

  // The classes that are learned: those of a share of the points change places among themselves.
  function shuffled() {
    const draw = random(1000 + seed), order = points.map((_, i) => [draw(), i]).sort((a, b) => a[0] - b[0]).map(pair => pair[1]);
    const moved = order.slice(0, Math.round(share * points.length)), learned = points.map(point => point[2]);
    for (let i = moved.length - 1; i > 0; i--) {
      const j = Math.floor(draw() * (i + 1));
      [learned[moved[i]], learned[moved[j]]] = [learned[moved[j]], learned[moved[i]]];
    }
    return learned;
  }

  function changed() {
    stop();
    dots();
    show();
  }

  function train(turns) {
    if (!points.length) throw new Error("there is nothing to learn from; place points of both classes");
    let loss = 0;
    for (let turn = 0; turn < turns; turn++) loss = deepatomsPlanar.step(net, memory, points, labels);
    steps += turns;
    if (!Number.isFinite(loss)) { begin(); throw new Error("the loss is no number any more; the network begins anew"); }
  }

  const across = u => Math.round(WIDE * u), down = v => Math.round(HIGH * (1 - v));
  const path = (lines, end) => {
    let text = "";
    for (const line of lines) {
      for (let i = 0; i < line.length; i += 2) text += `${i ? "L" : "M"}${across(line[i])} ${down(line[i + 1])}`;
      text += end;
    }
    return text;
  };

  function draw(panel, network) {
    const found = deepatomsPlanar.partition(network, box);
    panel.first.setAttribute("d", path(found.classes[0], "Z"));
    panel.second.setAttribute("d", path(found.classes[1], "Z"));
    panel.walls.setAttribute("d", path(found.regions, "Z"));
    panel.boundary.setAttribute("d", path(found.boundary, ""));
    return found.regions.length;
  }

  // Circles and squares, so that colour alone tells nothing.
  function dots() {
    labels = shuffled();
    for (const { dots: group } of panels) group.replaceChildren(...points.map(([x, y], p) => {
      const u = WIDE * (x - left) / (right - left), v = HIGH * (top - y) / (top - bottom), name = `deepatoms-${NAMES[labels[p]]}`;
      return labels[p] ? drawn("rect", { x: (u - 8).toFixed(1), y: (v - 8).toFixed(1), width: 16, height: 16, class: name })
        : drawn("circle", { cx: u.toFixed(1), cy: v.toFixed(1), r: 9, class: name });
    }));
  }

  // What the pictures show, in figures above them; the sentences are read out, so they wait until the network stands still.
  function show(said = true) {
    untrained ??= draw(panels[1], twin);
    const counts = [draw(panels[0], net), untrained];
    panels[0].title.textContent = `Trained, ${times(steps, "step")}: ${times(counts[0], "region")}`;
    panels[1].title.textContent = `Untrained twin: ${times(counts[1], "region")}`;
    if (said) answer.textContent = sentences(counts);
    return counts;
  }

  function sentences([trained, before]) {
    const one = deepatomsPlanar.pieces(units), all = deepatomsPlanar.bound(net);
    const cuts = `${times(units, "line")} cut a plane into at most ${times(one, "piece")}`;
    return `After ${times(steps, "step")} the network has ${times(trained, "region")} in this window, its untrained twin ${before}. ${cuts}` +
      `${layers === 1 ? "." : `, so ${layers} layers have at most ${one}${"²³"[layers - 2]} = ${times(all, "region")}.`} ${fit()}`;
  }

  function fit() {
    if (!points.length) return "There are no points: place some of both classes and press Play.";
    const classes = new Set(labels).size, seen = new Map();
    const clash = points.some(([x, y], p) => { const was = seen.get(`${x} ${y}`); seen.set(`${x} ${y}`, labels[p]); return was !== undefined && was !== labels[p]; });
    const right = points.filter((point, p) => { const scores = deepatomsPlanar.forward(net, point).at(-1); return Number(scores[1] > scores[0]) === labels[p]; }).length;
    return `It has ${right} of ${points.length} points right${share ? `, ${percent(share)} of the labels shuffled` : ""}.` +
      (classes < 2 ? " All points are of one class, so there is nothing to tell apart." : "") +
      (clash ? " Two points of different classes lie on one another; no network has both right." : "");
  }

  const stop = () => { if (playing) { cancelAnimationFrame(playing); playing = null; play.textContent = "Play"; show(); } };
  function start() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) { train(100); show(); return; }
    train(1);
    play.textContent = "Pause";
    let left = TURNS / 4;
    const turn = guarded(() => {
      playing = null;
      play.textContent = "Play";  // so it says if the next lines fail
      train(4);
      show(--left <= 0);
      if (left > 0) { playing = requestAnimationFrame(turn); play.textContent = "Pause"; }
    });
    playing = requestAnimationFrame(turn);
  }

  // ---- points: by mouse, finger and keys ----

  const inside = (value, low, high) => Math.max(low, Math.min(high, value));
  const place = ([u, v]) => [left + inside(u, 0, 1) * (right - left), bottom + inside(v, 0, 1) * (top - bottom)];
  const near = ([u, v], reach) => {
    const distance = ([x, y]) => Math.hypot((x - left) / (right - left) - u, ((y - bottom) / (top - bottom) - v) * HIGH / WIDE);
    const best = points.reduce((found, point, p) => distance(point) < distance(points[found] ?? [Infinity, Infinity]) ? p : found, -1);
    return best >= 0 && distance(points[best]) <= reach ? best : null;
  };

  function use(at, erase) {
    const old = near(at, 0.02);
    if (erase) { if (old === null) throw new Error("no point is near; point at one to remove it"); points.splice(old, 1); return null; }
    if (old !== null) return old;
    if (points.length >= MOST) throw new Error(`this figure holds ${MOST} points; remove some`);
    points.push([...place(at), NAMES.indexOf(tool === "remove" ? NAMES[0] : tool)]);
    return points.length - 1;
  }

  const spot = event => { const area = pad.getBoundingClientRect(); return [(event.clientX - area.left) / area.width, 1 - (event.clientY - area.top) / area.height]; };
  pad.addEventListener("pointerdown", guarded(event => {
    pad.setPointerCapture(event.pointerId);
    held = use(spot(event), tool === "remove");
    changed();
  }));
  pad.addEventListener("pointermove", guarded(event => {
    if (held === null) return;
    points[held].splice(0, 2, ...place(spot(event)));
    changed();
  }));
  for (const name of ["pointerup", "pointercancel"]) pad.addEventListener(name, () => { held = null; });
  pad.addEventListener("keydown", guarded(event => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const erase = event.key === "Delete" || event.key === "Backspace";
    if (!move && !erase && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    if (move) {
      cursor = cursor.map((value, i) => inside(value + move[i] / 40, 0, 1));
      cross.setAttribute("d", `M${across(cursor[0])} ${down(cursor[1])}m-20 0h40m-20 -20v40`);
      answer.textContent = `At ${place(cursor).map(value => said(value)).join(", ")}.`;
      return;
    }
    use(cursor, erase || tool === "remove");
    changed();
  }));

  guarded(() => { begin(); dots(); if (points.length) train(data.steps); show(); })();
  return { show, train, state: () => ({ net, twin, points, labels, steps }),
    set: change => { ({ points, net } = { points, net, ...change }); changed(); } };
});
