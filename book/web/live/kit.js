// Live figures: what they share. A figure is <figure class="deepatoms-live" data-live="name"> with a still picture, a
// caption and a JSON script; the function that defineLive(name, build) has given for its name replaces the still picture.
// Classic scripts, because modules do not load from file://. Everything is computed here, in float64, asking nobody.
const deepatomsLive = (() => {
  const kinds = {};

  function numbers(text) {
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    return new Float64Array(bytes.buffer);
  }

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") made.addEventListener(name, value);
      else if (value !== null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  const button = (text, click) => element("button", { type: "button", class: "deepatoms-button", click }, text);

  // A slider with its name before it and its value, in words, behind; change gets the number. set moves it without a change.
  function slider(name, { min, max, step, value }, inWords, change) {
    const input = element("input", { type: "range", min, max, step, value: String(value), "aria-valuetext": inWords(value),
      input: () => { show(); change(Number(input.value)); } });
    const output = element("span", { class: "deepatoms-value" });
    const show = () => { output.textContent = inWords(Number(input.value)); input.setAttribute("aria-valuetext", output.textContent); };
    show();
    const label = element("label", { class: "deepatoms-slider" }, element("span", {}, name), input, output);
    return Object.assign(label, { set: moved => { input.value = moved; show(); } });
  }

  // A field to type a number into; change gets it, and what is no number of the range is refused. set writes without a change.
  function field(name, { min, max, value }, guarded, change) {
    const input = element("input", { type: "text", inputmode: "decimal", class: "deepatoms-field", "aria-label": name, change: guarded(read) });
    function read() {
      const typed = input.value.trim(), number = Number(typed.replaceAll("\u2212", "-").replace(",", ".")), fits = typed !== "" && number >= min && number <= max;
      input.setAttribute("aria-invalid", !fits);
      if (!fits) throw new Error(`\u201c${typed}\u201d is not a number from ${min} to ${max}`);
      change(number);
    }
    const set = moved => { input.value = String(Number(moved.toFixed(3))); input.removeAttribute("aria-invalid"); };
    set(value);
    return Object.assign(input, { set });
  }

  // Buttons of which one is pressed; change gets its name.
  function choice(name, options, chosen, change) {
    const buttons = options.map(option => button(option, () => { press(option); change(option); }));
    const press = option => buttons.forEach((each, i) => each.setAttribute("aria-pressed", options[i] === option));
    press(chosen);
    return element("span", { class: "deepatoms-row", role: "group", "aria-label": name }, ...buttons);
  }

  // A part of a drawing; its parent may be given.
  function drawn(name, attributes = {}, parent = null) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent?.append(made);
    return made;
  }

  // Numbers as a printer sets them.
  // What rounds to zero has no sign.
  const said = (value, digits = 2) => (Number(value.toFixed(digits)) || 0).toFixed(digits).replace("-", "\u2212");

  // The same draws on every machine (mulberry32).
  function random(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  // Grey from no ink to full ink, or blue over nothing to red: both read on a light and on a dark page.
  function paint(canvas, values, limit, signed) {
    const side = Math.round(Math.sqrt(values.length));
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d"), image = context.createImageData(side, side);
    for (let i = 0; i < values.length; i++) {
      const part = Math.max(-1, Math.min(1, values[i] / (limit || 1)));
      const ink = signed ? (part > 0 ? [213, 94, 0] : [0, 114, 178]) : [20, 24, 32];
      const paper = [255, 255, 255];
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = paper[c] + (ink[c] - paper[c]) * Math.abs(part);
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  // A row of buttons and an answer in words that is read out; what goes wrong becomes a sentence there.
  function frame(figure) {
    const body = element("div", { class: "deepatoms-body" });
    const answer = element("p", { class: "deepatoms-answer", role: "status" });
    figure.querySelector(".deepatoms-still").hidden = true;
    figure.prepend(body);
    body.after(answer);
    const guarded = work => (...given) => {
      try {
        return work(...given);
      } catch (error) {
        answer.textContent = `This could not be computed: ${error.message}`;
      }
    };
    return { body, answer, guarded };
  }

  function start(root) {
    for (const figure of root.querySelectorAll("figure.deepatoms-live")) {
      const build = kinds[figure.dataset.live];
      if (!build || figure.dataset.state) continue;
      figure.dataset.state = "live";
      figure.api = build(figure, JSON.parse(figure.querySelector("script[type='application/json']").textContent));
    }
  }

  const render = ({ model, el }) => { el.innerHTML = model.get("page"); start(el); };  // JupyterLab: an anywidget

  if (document.currentScript) document.addEventListener("DOMContentLoaded", () => start(document));
  return { define: (name, build) => { kinds[name] = build; }, numbers, element, button, slider, field, choice, drawn, said, random, paint, frame, render };
})();
