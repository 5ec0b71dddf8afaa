// Drag the tips of vectors in the plane: coherence, frame potential and their bounds follow. Data: {angles} in degrees.
deepatomsLive.define("drag-the-atoms", (figure, data) => {
  const { element, button, said, random, frame } = deepatomsLive;
  const { body, answer, guarded } = frame(figure);
  const MOST = 12, draw = random(1), SVG = "http://www.w3.org/2000/svg";
  let angles = data.angles.map(angle => angle * Math.PI / 180), timer = null;

  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "-1.25 -1.25 2.5 2.5");
  svg.setAttribute("class", "deepatoms-plane");
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", "Atoms in the plane; Tab reaches each tip, arrow keys turn it");
  const drawn = (name, attributes, parent = svg) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };

  // What the chapter's functions say of unit vectors in the plane.
  function measures(turns) {
    const k = turns.length;
    let coherence = 0, energy = 0, pair = [0, 1];
    for (let i = 0; i < k; i++) for (let j = i + 1; j < k; j++) {
      const cosine = Math.abs(Math.cos(turns[i] - turns[j]));
      energy += 2 * cosine ** 2;
      if (cosine > coherence) [coherence, pair] = [cosine, [i, j]];
    }
    return { coherence, pair, potential: Math.sqrt(energy / (k * (k - 1))), welch: k > 2 ? Math.sqrt((k - 2) / (2 * (k - 1))) : 0,
      best: Math.cos(Math.PI / k) };
  }

  // One step down the frame potential: its derivative by an angle is -2 sum sin 2(a_i - a_j).
  const relaxed = turns => turns.map((a, i) => a + 0.5 / turns.length * turns.reduce((sum, b, j) => sum + (i === j ? 0 : Math.sin(2 * (a - b))), 0));

  function show() {
    const now = measures(angles);
    svg.replaceChildren();
    drawn("circle", { r: 1, class: "deepatoms-circle" });
    angles.forEach((angle, i) => {
      const worst = now.pair.includes(i), [x, y] = [Math.cos(angle), -Math.sin(angle)];
      drawn("line", { x1: -x, y1: -y, x2: x, y2: y, class: "deepatoms-axis" });
      drawn("line", { x1: 0, y1: 0, x2: x, y2: y, class: worst ? "deepatoms-worst" : "deepatoms-atom" });
      const tip = drawn("circle", { cx: x, cy: y, r: 0.09, class: worst ? "deepatoms-tip deepatoms-worst" : "deepatoms-tip", tabindex: 0,
        role: "slider", "aria-label": `Atom ${i + 1}`, "aria-valuemin": 0, "aria-valuemax": 360, "aria-valuenow": degrees(angle) });
      tip.addEventListener("pointerdown", event => grab(event, i));
      tip.addEventListener("keydown", guarded(event => {
        const step = { ArrowLeft: 1, ArrowUp: 1, ArrowRight: -1, ArrowDown: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        angles[i] += step * Math.PI / 90;
        show();
        svg.querySelectorAll(".deepatoms-tip")[i].focus();
      }));
    });
    answer.textContent = `${angles.length} atoms: coherence ${said(now.coherence, 3)} (atoms ${now.pair.map(i => i + 1).join(" and ")}, in orange), ` +
      `frame potential ${said(now.potential, 3)}. No ${angles.length} atoms of the plane have a coherence below ${said(now.best, 3)}; the Welch bound says ${said(now.welch, 3)}.` +
      (now.coherence > 1 - 1e-12 ? ` Atoms ${now.pair.map(i => i + 1).join(" and ")} lie on one line: no code tells them apart.` : "") +
      (now.potential <= now.welch + 5e-4 && now.coherence > now.best + 0.01 ? " The frame potential is as small as it can be, and the coherence is not." : "");
  }

  const degrees = angle => Math.round(((angle * 180 / Math.PI) % 360 + 360) % 360);

  let held = null;
  function grab(event, i) {
    held = i;
    event.preventDefault();
    stop();
  }
  const drag = guarded(event => {
    if (held === null) return;
    const box = svg.getBoundingClientRect();
    angles[held] = Math.atan2(box.top + box.height / 2 - event.clientY, event.clientX - box.left - box.width / 2);
    show();
  });
  svg.addEventListener("pointermove", drag);
  for (const name of ["pointerup", "pointerleave", "pointercancel"]) svg.addEventListener(name, () => { held = null; });

  const stop = () => { clearInterval(timer); timer = null; };
  function relax() {
    stop();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (still) for (let turn = 0; turn < 300; turn++) angles = relaxed(angles);
    let left = still ? 0 : 120;
    if (left) timer = setInterval(guarded(() => { angles = relaxed(angles); show(); if (--left <= 0) stop(); }), 30);
    show();
  }

  function count(by) {
    stop();
    if (angles.length + by < 2 || angles.length + by > MOST) { answer.textContent = `This figure holds 2 to ${MOST} atoms.`; return; }
    angles = by > 0 ? [...angles, 2 * Math.PI * draw()] : angles.slice(0, -1);
    show();
  }

  body.append(svg, element("div", { class: "deepatoms-row" }, button("Add an atom", guarded(() => count(1))), button("Take one away", guarded(() => count(-1))),
    button("Relax", guarded(relax)), button("Spread evenly", guarded(() => { stop(); angles = angles.map((_, i) => Math.PI * i / angles.length); show(); })),
    button("New draw", guarded(() => { stop(); angles = angles.map(() => 2 * Math.PI * draw()); show(); }))));
  guarded(show)();
  return { measures, relaxed, angles: () => angles, set: turns => { angles = [...turns]; show(); } };
});
