// Draw a digit: the scores glide, the templates jump. Data: {layers, shape: [1, side, side], examples: {label: [image, ...]}}.
deepatomsLive.define("draw-a-digit", (figure, data) => {
  const { element, button, said, random, paint, numbers, frame } = deepatomsLive;
  const layers = deepatomsNetwork.decoded(data.layers), side = data.shape[2], classes = 10;
  const examples = Object.fromEntries(Object.entries(data.examples).map(([label, images]) => [label, images.map(numbers)]));
  const { body, answer, guarded } = frame(figure);
  const draw = random(1), turn = {};
  let image = new Float64Array(side * side), before = null, erasing = false, cursor = [3, 3], last = null;

  const canvas = element("canvas", { class: "deepatoms-pad", tabindex: "0", role: "application",
    "aria-label": `Drawing of ${side} by ${side} cells. Arrow keys move, space draws, delete erases.` });
  const rows = Array.from({ length: classes }, (_, k) => {
    const row = { template: element("canvas", { "aria-hidden": "true" }), bar: element("i"), text: element("span") };
    row.node = element("li", {}, element("b", {}, String(k)), row.template, element("span", { class: "deepatoms-track" }, row.bar), row.text);
    return row;
  });
  const erase = button("Erase", () => { erasing = !erasing; erase.setAttribute("aria-pressed", erasing); });
  erase.setAttribute("aria-pressed", "false");
  const digits = element("span", { class: "deepatoms-row", role: "group", "aria-label": "A test digit" },
    ...Array.from({ length: classes }, (_, k) => button(String(k), guarded(() => show(k)))));
  body.append(
    element("div", { class: "deepatoms-draw" }, canvas, element("div", {}, element("p", { class: "deepatoms-key" }, "Each digit with its template, its score and, in brackets, the template’s inner product with the drawing"),
      element("ol", { class: "deepatoms-scores", start: "0" }, ...rows.map(row => row.node)))),
    element("div", { class: "deepatoms-row" }, erase, button("Clear", guarded(() => change(new Float64Array(side * side)))),
      button("Add noise", guarded(() => change(image.map(value => Math.max(0, Math.min(1, value + 0.2 * (draw() - 0.5))))))),
      element("span", {}, "Test digit"), digits));

  function show(k) {
    turn[k] = ((turn[k] ?? -1) + 1) % examples[k].length;
    change(examples[k][turn[k]].slice());
  }

  // How far a stroke has moved everything, in words.
  function compare(now) {
    if (!before) return "";
    const changed = now.codes.reduce((sum, layer, l) => sum + layer.reduce((n, code, u) => n + (code !== before.codes[l][u]), 0), 0);
    const units = now.codes.reduce((sum, layer) => sum + layer.length, 0);
    const moved = (a, b) => {
      const off = a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0), size = b.reduce((sum, value) => sum + value ** 2, 0);
      return size ? Math.round(100 * Math.sqrt(off / size)) : 0;
    };
    const flat = templates => templates.flatMap(template => [...template]);
    return ` The last change moved the scores by ${moved([...now.scores], [...before.scores])}\u00a0%, the templates by ` +
      `${moved(flat(now.templates), flat(before.templates))}\u00a0%: ${changed} of ${units} units changed code.`;
  }

  function change(next) {
    const direction = next.map((value, i) => value - image[i]), length = Math.hypot(...direction);
    image = next;
    const now = deepatomsNetwork.read(layers, data.shape, image);
    const order = [...now.scores.keys()].sort((a, b) => now.scores[b] - now.scores[a]);
    const wall = length ? now.wall(direction.map(value => value / length)) : Infinity;
    last = { ...now, wall, direction };
    paint(canvas, image, 1, false);
    const most = Math.max(...now.templates.map(template => Math.max(...template.map(Math.abs))));
    const widest = Math.max(1e-9, ...now.scores.map(Math.abs));
    rows.forEach((row, k) => {
      const product = now.templates[k].reduce((sum, value, i) => sum + value * image[i], 0);
      paint(row.template, now.templates[k], most, true);
      row.bar.style.width = `${50 * Math.abs(now.scores[k]) / widest}%`;
      row.bar.style.left = now.scores[k] < 0 ? `${50 - 50 * Math.abs(now.scores[k]) / widest}%` : "50%";
      row.text.textContent = `${said(now.scores[k], 1)} (${said(product, 1)})`;
      row.node.toggleAttribute("data-first", k === order[0]);
    });
    const empty = image.every(value => value === 0);
    answer.textContent = (empty ? "The pad is empty; what the network says of it is the bias alone. " : "") +
      `It reads ${order[0]} (score ${said(now.scores[order[0]], 1)}), then ${order[1]} (${said(now.scores[order[1]], 1)}).${compare(now)}` +
      (wall < Infinity ? ` Going on like this, the next wall is ${wall.toPrecision(2)} away; the change was ${length.toPrecision(2)} long.` : "");
    before = now;
  }

  function stroke(column, row) {
    const next = image.slice();
    for (let i = -1; i <= 1; i++) for (let j = -1; j <= 1; j++) {
      const r = row + i, c = column + j, ink = i || j ? (i && j ? 0 : 0.15) : 0.6;
      if (r >= 0 && r < side && c >= 0 && c < side) next[r * side + c] = Math.max(0, Math.min(1, next[r * side + c] + (erasing ? -ink : ink)));
    }
    change(next);
  }

  let drawing = null;
  const touch = guarded(event => {
    const box = canvas.getBoundingClientRect();
    const cell = [event.clientX - box.left, event.clientY - box.top].map((at, i) => Math.floor(side * at / (i ? box.height : box.width)));
    if (String(cell) === String(drawing)) return;
    drawing = cell;
    stroke(...cell);
  });
  canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); drawing = null; touch(event); });
  canvas.addEventListener("pointermove", event => { if (event.buttons) touch(event); });
  canvas.addEventListener("keydown", guarded(event => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const inks = event.key === " " || event.key === "Delete" || event.key === "Backspace";
    if (!step && !inks) return;
    event.preventDefault();
    event.stopPropagation();
    if (step) {
      cursor = cursor.map((at, i) => Math.max(0, Math.min(side - 1, at + step[i])));
      answer.textContent = `Column ${cursor[0] + 1}, row ${cursor[1] + 1}.`;
      canvas.style.setProperty("--column", cursor[0]);
      canvas.style.setProperty("--row", cursor[1]);
      return;
    }
    const was = erasing;
    erasing = event.key !== " ";
    try { stroke(...cursor); } finally { erasing = was; }
  }));
  guarded(show)(data.first);
  return { read: values => deepatomsNetwork.read(layers, data.shape, Float64Array.from(values)), change: values => change(Float64Array.from(values)), state: () => last };
});
