// Explorers: figures moved by native sliders, on the published page and in JupyterLab with the same code.
//
// An explorer is a <figure class="deepatoms-explorer"> with its first frame as SVG, a <figcaption>, and a JSON script:
// {"axes": [{"name", "values"}], "packed": base64 of deflated {"lines", "frames", "captions"}}. A frame is a list of
// indices into the lines, which frames share; the last axis varies fastest.
const deepatoms = (() => {
  let count = 0;

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  function parse(svg) {
    return document.adoptNode(new DOMParser().parseFromString(svg, "text/html").body.firstElementChild);
  }

  function control(name, stops, moved) {
    const id = `deepatoms-control-${++count}`;
    const row = document.createElement("div");
    row.className = "deepatoms-control";
    row.innerHTML = `<label for="${id}"></label><input type="range" id="${id}" min="0" step="1" value="0">` +
      `<span class="deepatoms-value" aria-hidden="true"></span>`;
    const [label, range, shown] = row.children;
    label.textContent = name;
    range.max = stops.length - 1;
    shown.style.minWidth = `${Math.max(4, ...stops.map(stop => stop.text.length))}ch`;  // the slider keeps its length
    const tell = () => {
      shown.textContent = stops[range.value].text;
      range.setAttribute("aria-valuetext", stops[range.value].text);
    };
    range.addEventListener("input", () => { tell(); moved(Number(range.value)); });
    // JupyterLab and the theme take arrow keys for themselves.
    range.addEventListener("keydown", event => event.stopPropagation());
    tell();
    return row;
  }

  // live: null on a page; under a kernel {stops, ask(at, answer)}.
  async function enliven(figure, live) {
    const { axes, packed } = JSON.parse(figure.querySelector("script").textContent);
    const { lines, frames, captions } = await unpack(packed);
    const stops = live ? live.stops
      : axes.map(axis => axis.values.map((text, index) => ({ text, nearest: index, stored: true })));
    const at = axes.map(() => 0);
    const caption = figure.querySelector("figcaption");
    const frame = figure.querySelector(".deepatoms-frame");

    const draw = (svg, words) => {
      frame.replaceChildren(parse(svg));
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
        if (String(at) !== asked) return compute();
        figure.dataset.frame = "computed";
        draw(answer.svg, answer.caption);
      });
    };
    const controls = document.createElement("div");
    controls.className = "deepatoms-controls";
    axes.forEach((axis, i) => controls.append(control(axis.name, stops[i], stop => {
      at[i] = stop;
      nearest();
      compute();
    })));
    caption.setAttribute("aria-live", "polite");
    figure.prepend(controls);
    figure.dataset.frame = 0;
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
