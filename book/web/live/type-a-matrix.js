// Type a matrix D: rank, condition number and singular values of D and of I + D, and which claims it breaks. Data: {start}.
deepatomsLive.define("type-a-matrix", (figure, data) => {
  const { element, button, said, random, frame } = deepatomsLive;
  const { body, answer, guarded } = frame(figure);
  const LIMIT = 12, draw = random(1);

  // Rows are lines, numbers stand between blanks or commas; what is no square matrix of numbers is refused in a sentence.
  function parse(text) {
    const lines = text.replaceAll("\u2212", "-").split("\n").map(line => line.trim()).filter(Boolean);
    if (!lines.length) throw new Error("the field is empty; write a matrix, one row a line");
    const rows = lines.map(line => line.split(/[\s,;]+/).filter(Boolean));
    for (const [i, row] of rows.entries()) for (const word of row)
      if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(word) || !Number.isFinite(Number(word)))
        throw new Error(`\u201c${word}\u201d in row ${i + 1} is not a finite number; write numbers like 1, -0.5 or 2e-3`);
    const n = rows.length, odd = rows.findIndex(row => row.length !== n);
    if (n > LIMIT || rows.some(row => row.length > LIMIT)) throw new Error(`the limit is ${LIMIT} rows and columns; this has ${n} rows`);
    if (odd >= 0) throw new Error(`row ${odd + 1} has ${rows[odd].length} numbers and there are ${n} rows; a layer with a skip is square`);
    return rows.map(row => Float64Array.from(row, Number));
  }

  // Singular values by one-sided Jacobi rotations: columns are turned until they are orthogonal; their lengths remain.
  function singularValues(rows) {
    const n = rows.length, columns = Array.from({ length: n }, (_, j) => Float64Array.from(rows, row => row[j]));
    const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
      turned = false;
      for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) {
        const [a, b, c] = [dot(columns[p], columns[p]), dot(columns[q], columns[q]), dot(columns[p], columns[q])];
        if (Math.abs(c) <= 1e-16 * Math.sqrt(a * b)) continue;
        turned = true;
        const zeta = (b - a) / (2 * c), t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta)), cosine = 1 / Math.hypot(1, t);
        for (let i = 0; i < n; i++) {
          const [x, y] = [columns[p][i], columns[q][i]];
          columns[p][i] = cosine * (x - t * y);
          columns[q][i] = cosine * (t * x + y);
        }
      }
    }
    return columns.map(column => Math.sqrt(dot(column, column))).sort((a, b) => b - a);
  }

  function properties(rows) {
    const values = singularValues(rows), n = rows.length, least = values[n - 1];
    const noise = values[0] * n * 2 ** -52;  // below it a singular value is rounding
    return { values, rank: values.filter(value => value > noise).length, condition: least > noise ? values[0] / least : Infinity };
  }

  const plusIdentity = rows => rows.map((row, i) => row.map((value, j) => value + (i === j)));

  function read(text) {
    const rows = parse(text);
    return { n: rows.length, layer: properties(rows), skip: properties(plusIdentity(rows)) };
  }

  const field = element("textarea", { rows: "5", cols: "28", spellcheck: "false", "aria-label": "The matrix D, one row a line", input: guarded(update) });
  const table = element("table", { class: "deepatoms-counts" });
  const bars = element("div", { class: "deepatoms-spectra", "aria-hidden": "true" });
  const write = rows => { field.value = rows.map(row => row.map(value => +value.toFixed(3)).join("  ")).join("\n"); guarded(update)(); };
  const square = (n, entry) => Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => entry(i, j)));
  const gauss = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  body.append(
    element("div", { class: "deepatoms-draw" }, field, element("div", {}, table, bars)),
    element("div", { class: "deepatoms-row" },
      button("Minus the identity", () => write(square(3, (i, j) => -(i === j)))),
      button("Small", () => write(square(4, () => 0.2 * gauss()))),
      button("He's scale", () => write(square(6, () => Math.sqrt(2 / 6) * gauss()))),
      button("Half a reflection", () => write([[0.3, -0.4], [-0.4, -0.3]]))));

  const finite = value => value === Infinity ? "infinite" : value.toPrecision(3);

  function update() {
    for (const part of [table, bars]) part.replaceChildren();  // nothing old stands beside a refusal
    const { n, layer, skip } = read(field.value), norm = layer.values[0];
    table.replaceChildren(
      element("thead", {}, element("tr", {}, element("td"), element("th", { scope: "col" }, "D"), element("th", { scope: "col" }, "I + D"))),
      element("tbody", {}, ...[["rank", layer.rank, skip.rank], ["largest singular value", finite(norm), finite(skip.values[0])],
        ["smallest singular value", layer.values[n - 1].toPrecision(3), skip.values[n - 1].toPrecision(3)],
        ["condition number", finite(layer.condition), finite(skip.condition)]].map(([name, ...cells]) =>
        element("tr", {}, element("th", { scope: "row" }, name), ...cells.map(cell => element("td", {}, String(cell)))))));
    const most = Math.max(norm, skip.values[0], 1e-12);
    bars.replaceChildren(...[["D", layer], ["I + D", skip]].map(([name, { values }]) => element("div", {}, element("b", {}, name),
      ...values.map(value => { const bar = element("i"); bar.style.height = `${60 * value / most + 1}px`; return bar; }))));
    answer.textContent = verdicts(n, layer, skip, norm).join(" ");
  }

  // What the matrix says of the note's claims, each with its reason.
  function verdicts(n, layer, skip, norm) {
    const farthest = Math.max(...skip.values.map(value => Math.abs(value - 1)));
    return [
      skip.rank < layer.rank ? `This breaks \u201cthe identity raises the rank\u201d (rsc.rank): it falls from ${layer.rank} to ${skip.rank}, because D has the eigenvalue \u22121.`
        : `The rank does not fall here (${layer.rank} to ${skip.rank}).`,
      skip.condition > layer.condition ? `This breaks \u201cthe identity lowers the condition number\u201d (rsc.condition): it rises from ${finite(layer.condition)} to ${finite(skip.condition)}.`
        : `The condition number does not rise here (${finite(layer.condition)} to ${finite(skip.condition)}).`,
      `All singular values of I + D lie within ${said(farthest, 3)} of 1; Weyl's theorem allows ${said(norm, 3)}.`,
      `The rank of I + D is at least ${n} \u2212 ${layer.rank} = ${n - layer.rank}.`];
  }

  field.value = data.start;
  guarded(update)();
  return { read };
});
