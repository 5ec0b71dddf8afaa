// Explorers: figures moved by native controls, on the published page and in JupyterLab with the same code.
//
// An explorer is a <figure class="deepatoms-explorer"> with its first frame as SVG, a <figcaption>, and a JSON script:
// {"axes": [{"name", "values", "words"}], "start", "packed": base64 of deflated {"lines", "frames", "captions"}}. A frame is a list of
// indices into the lines, which frames share; the last axis varies fastest.
const deepatoms = (() => {
  let count = 0;

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  function parse(svg) {
    return [...new DOMParser().parseFromString(svg, "text/html").body.children].map(part => document.adoptNode(part));
  }

  // A value as a printer sets it; its own text stays what a kernel is asked for.
  function minus(text) {
    return text.replace(/^-(?=[\d.])/, "\u2212");
  }

  // A slider for numbers: native, labelled, and played by its button. {row, to}: the row of the page, and how to move it.
  function slider(name, stops, moved) {
    const id = `deepatoms-control-${++count}`;
    const row = document.createElement("div");
    row.className = "deepatoms-control";
    row.innerHTML = `<label for="${id}"></label><span class="deepatoms-slide"><input type="range" id="${id}" min="0" step="1" value="0"></span>` +
      `<span class="deepatoms-value" aria-hidden="true"></span>`;
    const range = row.querySelector("input"), shown = row.lastElementChild;
    row.firstElementChild.textContent = name;
    range.max = stops.length - 1;
    shown.style.minWidth = `${Math.max(4, ...stops.map(stop => stop.text.length))}ch`;  // the slider keeps its length
    const tell = () => {
      shown.textContent = minus(stops[range.value].text);
      range.setAttribute("aria-valuetext", minus(stops[range.value].text));
    };
    range.addEventListener("input", () => { tell(); moved(Number(range.value)); });
    // JupyterLab and the theme take arrow keys for themselves.
    range.addEventListener("keydown", event => event.stopPropagation());
    return { row, to: stop => { range.value = stop; tell(); } };
  }

  // Buttons for words.
  function choice(name, stops, moved) {
    const id = `deepatoms-control-${++count}`;
    const row = document.createElement("div");
    row.className = "deepatoms-control deepatoms-choice";
    row.innerHTML = `<span id="${id}"></span><span role="radiogroup" aria-labelledby="${id}">` +
      stops.map((_, i) => `<label><input type="radio" name="${id}" value="${i}"><span></span></label>`).join("") + "</span>";
    row.firstElementChild.textContent = name;
    row.querySelectorAll("label span").forEach((span, i) => { span.textContent = minus(stops[i].text); });
    row.addEventListener("change", event => moved(Number(event.target.value)));
    row.addEventListener("keydown", event => event.stopPropagation());
    return { row, to: stop => { row.querySelectorAll("input")[stop].checked = true; } };
  }

  // A button that moves a slider from stop to stop, from the start if it is at its end; none where motion is unwanted.
  function player(row, name) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const range = row.querySelector("input"), button = document.createElement("button");
    button.type = "button";
    button.className = "deepatoms-play";
    range.before(button);
    let timer = null;
    const say = () => {
      button.textContent = timer ? "\u275a\u275a" : "\u25b6";
      button.setAttribute("aria-label", `${timer ? "Pause" : "Play"} ${name}`);
    };
    const move = stop => { range.value = stop; range.dispatchEvent(new Event("input")); };
    const stop = () => { clearInterval(timer); timer = null; say(); };
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (range.value === range.max) move(0);
      timer = setInterval(() => {
        move(Number(range.value) + 1);
        if (range.value === range.max) stop();
      }, 500);
      say();
    });
    range.addEventListener("pointerdown", stop);
    say();
  }

  function errorNote(text) {
    const note = document.createElement("strong");
    note.textContent = ` This value could not be drawn: ${text}`;
    return note;
  }

  // live: null on a page; under a kernel {stops, ask(at, answer)}.
  async function enliven(figure, live) {
    const { axes, start: begin, packed } = JSON.parse(figure.querySelector("script").textContent);
    const { lines, frames, captions } = await unpack(packed);
    const stops = live ? live.stops
      : axes.map(axis => axis.values.map((text, index) => ({ text, nearest: index, stored: true })));
    // Where a live slider stops more often, the stored value of the start has another place.
    const at = axes.map((_, i) => stops[i].findIndex(stop => stop.stored && stop.nearest === (begin?.[i] ?? 0)));
    const caption = figure.querySelector("figcaption");
    const frame = figure.querySelector(".deepatoms-frame");

    const draw = (svg, words) => {
      frame.replaceChildren(...parse(svg));
      caption.innerHTML = words;
      if (caption.querySelector(".math")) globalThis.MathJax?.typesetPromise?.([caption]);
    };
    const nearest = () => {
      const index = axes.reduce((sum, axis, i) => sum * axis.values.length + stops[i][at[i]].nearest, 0);
      draw(frames[index].map(line => lines[line]).join("\n"), captions[index]);
      figure.dataset.frame = index;
    };
    let asking = false;
    const compute = () => {
      if (asking || at.every((stop, i) => stops[i][stop].stored)) return;
      const asked = String(at);
      asking = true;
      live.ask([...at], answer => {
        asking = false;
        if (answer.error) caption.append(errorNote(answer.error));
        if (answer.error) return;
        if (String(at) !== asked) return compute();
        figure.dataset.frame = "computed";
        draw(answer.svg, answer.caption);
      });
    };
    const controls = document.createElement("div");
    controls.className = "deepatoms-controls";
    axes.forEach((axis, i) => {
      const made = (axis.words ? choice : slider)(axis.name, stops[i], stop => {
        at[i] = stop;
        nearest();
        compute();
      });
      made.to(at[i]);
      controls.append(made.row);
    });
    const longest = axes.map((axis, i) => axis.words ? 0 : stops[i].length).reduce((best, length, i, all) => length > all[best] ? i : best, 0);
    if (!axes[longest].words) player(controls.children[longest], axes[longest].name);
    caption.setAttribute("aria-live", "polite");
    figure.prepend(controls);
    figure.dataset.frame = axes.reduce((sum, axis, i) => sum * axis.values.length + stops[i][at[i]].nearest, 0);
  }

  // JupyterLab: an anywidget. What lies between the stored frames is computed by its kernel.
  function render({ model, el }) {
    el.innerHTML = model.get("page");
    let waiting = null;
    model.on("msg:custom", answer => { waiting?.(answer); waiting = null; });
    enliven(el.querySelector("figure"), {
      stops: model.get("stops"),
      ask: (at, answer) => { waiting = answer; model.send({ at }); },
    });
  }

  function start() {
    document.querySelectorAll("figure.deepatoms-explorer").forEach(figure => enliven(figure, null));
  }

  return { render, start };
})();

// document.currentScript is null in a module, and so in JupyterLab.
if (document.currentScript) document.addEventListener("DOMContentLoaded", deepatoms.start);
