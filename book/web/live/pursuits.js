// Pursuits for a small dictionary with unit atoms, as in the library: matching pursuit, basis pursuit, thresholding.
const deepatomsPursuits = (() => {
  // A dictionary from its rows, one after the other: atoms, their inner products, and the largest of them.
  function dictionary(matrix, dimension) {
    const many = matrix.length / dimension;
    const atoms = Array.from({ length: many }, (_, j) => Float64Array.from({ length: dimension }, (_, i) => matrix[i * many + j]));
    const gram = atoms.map(a => Float64Array.from(atoms, b => dot(a, b)));
    let coherence = 0;
    gram.forEach((row, i) => row.forEach((value, j) => { if (i !== j) coherence = Math.max(coherence, Math.abs(value)); }));
    return { atoms, gram, coherence, dimension };
  }

  function dot(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum;
  }

  function synthesize({ atoms, dimension }, code) {
    const x = new Float64Array(dimension);
    code.forEach((value, j) => { if (value) for (let i = 0; i < dimension; i++) x[i] += value * atoms[j][i]; });
    return x;
  }

  const analyze = ({ atoms }, x) => Float64Array.from(atoms, atom => dot(atom, x));

  // Solve the system of the chosen atoms' inner products. L is its Cholesky factor, or as many rows of it as are known; it is
  // completed. The ridge is rounding: parallel atoms share the value then.
  function solve(gram, chosen, right, L = []) {
    const n = chosen.length, y = Float64Array.from(right);
    for (let i = L.length; i < n; i++) {
      const row = new Float64Array(i + 1), products = gram[chosen[i]];
      for (let j = 0; j <= i; j++) {
        const other = j < i ? L[j] : row;
        let sum = products[chosen[j]] + (i === j ? 1e-14 : 0);
        for (let k = 0; k < j; k++) sum -= row[k] * other[k];
        row[j] = i === j ? Math.sqrt(Math.max(sum, 1e-15)) : sum / other[j];
      }
      L.push(row);
    }
    for (let i = 0; i < n; i++) { for (let k = 0; k < i; k++) y[i] -= L[i][k] * y[k]; y[i] /= L[i][i]; }
    for (let i = n - 1; i >= 0; i--) { for (let k = i + 1; k < n; k++) y[i] -= L[k][i] * y[k]; y[i] /= L[i][i]; }
    return y;
  }

  // What is left of the products once a code is taken away.
  function remaining(gram, products, chosen, values) {
    const left = Float64Array.from(products);
    chosen.forEach((k, i) => { const row = gram[k], value = values[i]; for (let j = 0; j < left.length; j++) left[j] -= row[j] * value; });
    return left;
  }

  function scattered(many, chosen, values) {
    const code = new Float64Array(many);
    chosen.forEach((j, i) => { code[j] = values[i]; });
    return code;
  }

  const argmax = values => values.reduce((best, value, j) => value > values[best] ? j : best, 0);

  function matching({ gram }, products, sparsity) {
    const chosen = [];
    let values = [], left = products;
    for (let turn = 0; turn < sparsity; turn++) {
      chosen.push(argmax(left.map((value, j) => chosen.includes(j) ? -1 : Math.abs(value))));
      values = solve(gram, chosen, chosen.map(j => products[j]));
      left = remaining(gram, products, chosen, values);
    }
    return scattered(products.length, chosen, values);
  }

  // The Lasso, 1/2 |x - D w|^2 + weight |w|_1, exactly: feature-sign search (Lee, Battle, Raina and Ng, 2007). Codes of more
  // than so many entries are refused: they would take too long.
  function basis({ gram }, products, weight, most = Infinity) {
    const L = [];
    let active = [], w = [], signs = [], left = products;
    for (let turn = 0; turn < 2000; turn++) {
      const settled = active.every((j, i) => Math.abs(left[j] - weight * signs[i]) <= 1e-11 * (1 + weight));
      if (settled) {
        const sizes = left.map(Math.abs);
        for (const j of active) sizes[j] = -1;
        const next = argmax(sizes);
        if (active.length === products.length || sizes[next] <= weight * (1 + 1e-11)) return scattered(products.length, active, w);
        if (active.length === most) throw new Error(`basis pursuit with the weight ${weight.toPrecision(2)} takes more than ${most} entries; raise it`);
        active.push(next);
        w = [...w, 0];
        signs = [...signs, Math.sign(left[next])];
      }
      const goal = solve(gram, active, active.map((j, i) => products[j] - weight * signs[i]), L);
      w = along(w, [...goal], signs, left, active, gram, weight);
      const kept = active.map((_, i) => i).filter(i => w[i] !== 0), gone = kept.findIndex((each, i) => each !== i);
      L.length = gone < 0 ? kept.length : gone;  // the rows before the first that left still hold
      [active, w] = [kept.map(i => active[i]), kept.map(i => w[i])];
      signs = w.map(Math.sign);
      left = remaining(gram, products, active, w);
    }
    throw new Error("basis pursuit did not come to an end; draw anew");
  }

  // The lowest point of the objective on the way to the goal, among the goal and the places where a value changes its sign.
  function along(w, goal, signs, left, active, gram, weight) {
    const move = goal.map((value, i) => value - w[i]);
    const slope = -active.reduce((sum, j, i) => sum + left[j] * move[i], 0);
    let bend = 0;
    active.forEach((j, i) => { const row = gram[j]; for (let l = 0; l < move.length; l++) bend += move[i] * row[active[l]] * move[l]; });
    const norm = t => w.reduce((sum, value, i) => sum + Math.abs(value + t * move[i]), 0);
    const objective = t => slope * t + bend * t * t / 2 + weight * norm(t);
    const stops = w.map((value, i) => value * goal[i] < 0 ? [value / (value - goal[i]), i] : null).filter(Boolean);
    const [best, zero] = [...stops, [1, -1]].reduce((lowest, stop) => objective(stop[0]) < objective(lowest[0]) ? stop : lowest);
    return best === 1 ? goal : w.map((value, i) => i === zero ? 0 : value + best * move[i]);
  }

  // Keep the products that are largest in size.
  function thresholding(products, sparsity) {
    const kept = new Set(largest(products, sparsity));
    return products.map((value, j) => kept.has(j) ? value : 0);
  }

  const largest = (values, count) => [...values.keys()].sort((a, b) => Math.abs(values[b]) - Math.abs(values[a])).slice(0, count);

  // What the LASSO's penalty has to outweigh: noise of norm epsilon in the products (dfp 3, half of it here).
  const penalty = ({ atoms, dimension }, noise) => Math.max(0.02, 2 * noise * Math.sqrt(2 * Math.log(atoms.length) / dimension)) / 2;

  const limits = (coherence, noise, least, most) => ({ unique: (1 + 1 / coherence) / 2, stable: (1 + 1 / coherence) / 4,
    thresholding: (1 + least / (coherence * most)) / 2 - noise / (coherence * most) });

  return { dictionary, synthesize, analyze, matching, basis, thresholding, largest, penalty, limits };
})();
