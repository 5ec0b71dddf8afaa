// Convolutional dictionaries of one axis on a circle, one upon the other, as in the library: pursuits, layer by layer, and
// the numbers and limits of the theorems. A code or signal is its maps, one after the other.
const deepatomsLayers = (() => {
  // A dictionary from its filters (atom by atom, channel by channel) on a circle of some length.
  function layer(filters, atoms, kernel, length) {
    const channels = filters.length / (atoms * kernel);
    const taps = Array.from({ length: atoms }, (_, a) => Array.from({ length: channels }, (_, c) =>
      [...filters.subarray((a * channels + c) * kernel, (a * channels + c + 1) * kernel)].map((value, t) => [t, value]).filter(tap => tap[1])));
    const D = { atoms, channels, kernel, length, taps };
    D.gram = grams(D);
    D.coherence = coherence(D.gram);
    return D;
  }

  function synthesize({ atoms, channels, length, taps }, code) {
    const x = new Float64Array(channels * length);
    for (let a = 0; a < atoms; a++) for (let j = 0; j < length; j++) {
      const value = code[a * length + j];
      if (value) taps[a].forEach((row, c) => row.forEach(([t, tap]) => { x[c * length + (j + t) % length] += value * tap; }));
    }
    return x;
  }

  function analyze({ atoms, length, taps }, x) {
    const products = new Float64Array(atoms * length);
    for (let a = 0; a < atoms; a++) taps[a].forEach((row, c) => row.forEach(([t, tap]) => {
      for (let j = 0; j < length; j++) products[a * length + j] += tap * x[c * length + (j + t) % length];
    }));
    return products;
  }

  // All inner products of atoms. Those of one place are those of every other, turned.
  function grams(D) {
    const { atoms, length } = D, rows = [];
    for (let a = 0; a < atoms; a++) {
      const spike = new Float64Array(atoms * length);
      spike[a * length] = 1;
      const first = analyze(D, synthesize(D, spike));
      for (let i = 0; i < length; i++) {
        const row = new Float64Array(atoms * length);
        for (let b = 0; b < atoms; b++) {
          row.set(first.subarray(b * length, (b + 1) * length - i), b * length + i);
          row.set(first.subarray((b + 1) * length - i, (b + 1) * length), b * length);
        }
        rows.push(row);
      }
    }
    return rows;
  }

  function coherence(gram) {
    let largest = 0;
    gram.forEach((row, i) => row.forEach((value, j) => { if (i !== j) largest = Math.max(largest, Math.abs(value)); }));
    return largest < 64 * 2 ** -52 ? 0 : largest;  // rounding is no coherence
  }

  // The largest sum over a window of some width, of values given by position.
  function fullest(values, width) {
    const span = Math.min(width, values.length);
    let best = -Infinity;
    for (let i = 0; i < values.length; i++) {
      let sum = 0;
      for (let t = 0; t < span; t++) sum += values[(i + t) % values.length];
      best = Math.max(best, sum);
    }
    return best;
  }

  const byPosition = (values, length, of) => Float64Array.from({ length }, (_, j) => {
    let sum = 0;
    for (let at = j; at < values.length; at += length) sum += of(values[at]);
    return sum;
  });
  const patchCount = (code, kernel, length) => fullest(byPosition(code, length, value => value !== 0), kernel);
  const patchNorm = (values, kernel, length) => Math.sqrt(fullest(byPosition(values, length, value => value * value), kernel));

  // Five numbers of each layer's code: all that the theorems ask for.
  const numbers = (layers, codes) => layers.map((D, i) => {
    const sizes = [...codes[i]].filter(Boolean).map(Math.abs);
    if (!sizes.length) throw new Error(`the code of layer ${i + 1} is empty; ask for a spike`);
    return { coherence: D.coherence, stripes: patchCount(codes[i], 2 * D.kernel - 1, D.length), patches: patchCount(codes[i], layers[i + 1]?.kernel ?? 1, D.length),
      smallest: Math.min(...sizes), largest: Math.max(...sizes) };
  });

  // ---- pursuits, layer by layer ----

  const OPERATORS = {
    soft: (value, level) => Math.sign(value) * Math.max(Math.abs(value) - level, 0),
    nonnegative: (value, level) => Math.max(value - level, 0),
    hard: (value, level) => Math.abs(value) > level ? value : 0,
  };

  function pursue(layers, x, levels, kind, most) {
    levels.forEach((level, i) => {
      if (!Number.isFinite(level) || level < 0) throw new Error(`the threshold of layer ${i + 1} is ${level}; it must be a finite number and not negative`);
    });
    return layers.reduce((codes, D, i) => {
      const products = analyze(D, codes.at(-1) ?? x);
      return [...codes, kind === "basis" ? deepatomsPursuits.basis(D, products, levels[i], most) : products.map(value => OPERATORS[kind](value, levels[i]))];
    }, []);
  }

  // ---- what the theorems promise ----

  const unique = ({ coherence: mu }) => mu ? (1 + 1 / mu) / 2 : Infinity;
  const interference = ({ stripes, coherence: mu, largest }) => (stripes - 1) * mu * largest;

  function stripeLimit({ coherence: mu, smallest, largest }, noise) {
    const room = smallest / 2 - noise;
    return mu ? 0.5 + room / (mu * largest) : room > 0 ? Infinity : -Infinity;
  }

  // Layer by layer the noise that arrives, the window of thresholds, the error that leaves, and whether all holds so far.
  function guarantees(given, noise, levels, kind) {
    let holds = true;
    return given.map((layer, i) => {
      const found = kind === "basis" ? basisPursuit(layer, noise, levels[i]) : thresholding(layer, noise, levels[i], kind);
      holds = holds && found.fits;
      noise = found.error;
      return { ...found, holds };
    });
  }

  function thresholding(layer, noise, level, kind) {
    const lower = layer.stripes * layer.coherence * layer.largest + noise, upper = layer.smallest - interference(layer) - noise;
    const error = Math.sqrt(layer.patches) * (noise + interference(layer) + (kind === "hard" ? 0 : level));
    return { noise, lower, upper, error, limit: stripeLimit(layer, noise), fits: lower < level && level < upper };
  }

  // The theorem of basis pursuit names one weight, four times the noise that arrives.
  function basisPursuit(layer, noise, level) {
    const weight = 4 * noise, limit = 2 / 3 * unique(layer);
    return { noise, lower: weight, upper: weight, error: 7.5 * Math.sqrt(layer.patches) * noise, limit,
      fits: layer.stripes < limit && Math.abs(level - weight) <= 1e-9 };
  }

  // The thresholds that the library takes unless told: low in the window where they are a bias, in its middle where not.
  function thresholds(given, noise, kind) {
    const position = kind === "hard" ? 0.5 : 0.01, levels = [];
    for (const layer of given) {
      const { lower, upper } = guarantees([layer], noise, [0], kind)[0];
      levels.push(lower + position * (upper - lower));
      noise = guarantees([layer], noise, [levels.at(-1)], kind)[0].error;
    }
    return levels;
  }

  return { layer, synthesize, analyze, patchNorm, numbers, pursue, unique, guarantees, thresholds };
})();
