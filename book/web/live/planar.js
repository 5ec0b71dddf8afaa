// A planar ReLU network: its scores, its exact regions (polygons cut layer by layer), and a step of Adam, as the library does it.
const deepatomsPlanar = (() => {
  const ROUNDING = 1e-13, NOISE = 1e-15, MOST = 5000;

  // torch's own first weights: uniform within one over the root of the number of inputs.
  function fresh(widths, draw) {
    return widths.slice(1).map((outputs, l) => {
      const inputs = widths[l], one = () => (2 * draw() - 1) / Math.sqrt(inputs);
      return { inputs, outputs, weight: Float64Array.from({ length: outputs * inputs }, one), bias: Float64Array.from({ length: outputs }, one) };
    });
  }

  const copy = net => net.map(layer => ({ ...layer, weight: layer.weight.slice(), bias: layer.bias.slice() }));

  function affine(layer, x, biased = true) {
    const y = new Float64Array(layer.outputs);
    for (let o = 0, at = 0; o < layer.outputs; o++) {
      let sum = biased ? layer.bias[o] : 0;
      for (let i = 0; i < layer.inputs; i++) sum += layer.weight[at++] * x[i];
      y[o] = sum;
    }
    return y;
  }

  // What each layer computes before its ReLU.
  function forward(net, point) {
    let x = point;
    return net.map(layer => { const y = affine(layer, x); x = y.map(value => Math.max(0, value)); return y; });
  }

  // The window [left, right, bottom, top] has coordinates u, v in [0, 1]; the slopes of one layer's units are in these.
  function around(net, window, [u, v], depth) {
    const [left, right, bottom, top] = window;
    let at = [left + u * (right - left), bottom + v * (top - bottom)], across = [right - left, 0], up = [0, top - bottom];
    for (let l = 0; l <= depth; l++) {
      if (l) [across, up] = [across, up].map(slopes => slopes.map((slope, i) => at[i] > 0 ? slope : 0));
      if (l) at = at.map(value => Math.max(0, value));
      [at, across, up] = [affine(net[l], at), affine(net[l], across, false), affine(net[l], up, false)];
    }
    return { at, across, up, centre: [u, v] };
  }

  function centre(polygon) {
    let u = 0, v = 0;
    for (let i = 0; i < polygon.length; i += 2) { u += polygon[i]; v += polygon[i + 1]; }
    return [2 * u / polygon.length, 2 * v / polygon.length];
  }

  function area(polygon) {
    let sum = 0;
    const [u, v] = polygon, n = polygon.length;
    for (let i = 0; i < n; i += 2) {
      const j = (i + 2) % n;
      sum += (polygon[i] - u) * (polygon[j + 1] - v) - (polygon[i + 1] - v) * (polygon[j] - u);
    }
    return Math.abs(sum) / 2;
  }

  // An affine function at the corners of a polygon; what rounding cannot tell from zero is zero.
  function corners(polygon, at, across, up, [u, v], scale) {
    const values = new Float64Array(polygon.length / 2);
    for (let i = 0; i < values.length; i++) {
      const value = at + (polygon[2 * i] - u) * across + (polygon[2 * i + 1] - v) * up;
      values[i] = Math.abs(value) <= ROUNDING * scale ? 0 : value;
    }
    return values;
  }

  // The parts of a polygon on which a function is positive and negative, and the segment on which it is zero; null where it keeps its sign.
  function cut(polygon, values) {
    let some = false, others = false;
    for (const value of values) { some ||= value > 0; others ||= value < 0; }
    if (!some || !others) return null;
    const above = [], below = [], wall = [], n = values.length;
    for (let i = 0; i < n; i++) {
      const j = (i + 1) % n, u = polygon[2 * i], v = polygon[2 * i + 1];
      if (values[i] >= 0) above.push(u, v);
      if (values[i] <= 0) below.push(u, v);
      if (values[i] === 0) wall.push(u, v);
      if (values[i] * values[j] < 0) {
        const share = values[i] / (values[i] - values[j]);
        const crossing = [u + share * (polygon[2 * j] - u), v + share * (polygon[2 * j + 1] - v)];
        for (const side of [above, below, wall]) side.push(...crossing);
      }
    }
    return { above, below, wall };
  }

  const size = (unit, k) => Math.abs(unit.at[k]) + Math.abs(unit.across[k]) + Math.abs(unit.up[k]);

  // Cut every region where a unit of the next layer changes sign: on a region its units are affine functions.
  function refine(net, window, regions, depth) {
    const found = [], units = regions.map(region => around(net, window, centre(region), depth));
    let largest = 0;
    for (const unit of units) for (let k = 0; k < unit.at.length; k++) largest = Math.max(largest, size(unit, k));
    regions.forEach((region, r) => {
      const unit = units[r];
      let pieces = [region];
      for (let k = 0; k < unit.at.length; k++) {
        const scale = Math.max(size(unit, k), NOISE / ROUNDING * largest), next = [];
        for (const piece of pieces) {
          const halves = cut(piece, corners(piece, unit.at[k], unit.across[k], unit.up[k], unit.centre, scale));
          if (halves) next.push(halves.above, halves.below);
          else next.push(piece);
        }
        pieces = next;
        if (found.length + pieces.length > MOST) throw new Error(`this network cuts the window into more than ${MOST} regions; choose fewer units`);
      }
      for (const piece of pieces) found.push(piece);
    });
    return found;
  }

  // All regions; and each cut once more where the two scores tie: what is of one class, what of the other, and the boundary.
  function partition(net, window) {
    let regions = [[0, 0, 1, 0, 1, 1, 0, 1]];
    for (let depth = 0; depth < net.length - 1; depth++) regions = refine(net, window, regions, depth);
    const classes = [[], []], boundary = [];
    for (const region of regions) {
      const { at, across, up, centre: middle } = around(net, window, centre(region), net.length - 1);
      const lead = [at, across, up].map(scores => scores[1] - scores[0]);
      const values = corners(region, ...lead, middle, lead.reduce((sum, part) => sum + Math.abs(part), 0));
      const halves = cut(region, values);
      if (!halves) classes[Number(lead[0] > 0)].push(region);
      else { classes[1].push(halves.above); classes[0].push(halves.below); boundary.push(halves.wall); }
    }
    return { regions, classes, boundary };
  }

  // The gradient of the mean cross-entropy, all points at once, and the loss.
  function gradient(net, points, labels) {
    const slopes = net.map(layer => ({ weight: new Float64Array(layer.weight.length), bias: new Float64Array(layer.bias.length) }));
    let loss = 0;
    points.forEach((point, p) => {
      const before = forward(net, point), scores = before[net.length - 1], most = Math.max(...scores);
      const parts = scores.map(score => Math.exp(score - most)), total = parts.reduce((sum, part) => sum + part, 0);
      loss += (Math.log(total) - scores[labels[p]] + most) / points.length;
      let back = parts.map((part, k) => (part / total - (k === labels[p])) / points.length);
      for (let l = net.length - 1; l >= 0; l--) {
        const { inputs, outputs, weight } = net[l], below = new Float64Array(inputs), slope = slopes[l];
        for (let o = 0; o < outputs; o++) {
          if (back[o] === 0) continue;
          slope.bias[o] += back[o];
          for (let i = 0, at = o * inputs; i < inputs; i++, at++) {
            const x = l ? before[l - 1][i] : point[i];
            if (l && !(x > 0)) continue;
            slope.weight[at] += back[o] * x;
            below[i] += back[o] * weight[at];
          }
        }
        back = below;
      }
    });
    return { slopes, loss };
  }

  // One step of Adam as in torch, at its usual constants; the network and the memory change. Returns the loss before the step.
  function step(net, memory, points, labels, rate = 0.01) {
    const { slopes, loss } = gradient(net, points, labels), turn = memory.turn = (memory.turn ?? 0) + 1;
    memory.moments ??= slopes.map(layer => Object.fromEntries(Object.entries(layer).map(([name, values]) =>
      [name, [new Float64Array(values.length), new Float64Array(values.length)]])));
    const first = 1 - 0.9 ** turn, second = Math.sqrt(1 - 0.999 ** turn);
    net.forEach((layer, l) => {
      for (const name of ["weight", "bias"]) {
        const [mean, square] = memory.moments[l][name], slope = slopes[l][name], values = layer[name];
        for (let i = 0; i < values.length; i++) {
          mean[i] += 0.1 * (slope[i] - mean[i]);
          square[i] = 0.999 * square[i] + 0.001 * slope[i] * slope[i];
          values[i] -= rate / first * mean[i] / (Math.sqrt(square[i]) / second + 1e-8);
        }
      }
    });
    return loss;
  }

  // Into how many pieces n lines can cut a plane; a layer cuts each region of the layers before it by its units' lines.
  const pieces = lines => 1 + lines + lines * (lines - 1) / 2;
  const bound = net => net.slice(0, -1).reduce((product, layer) => product * pieces(layer.outputs), 1);

  return { fresh, copy, forward, partition, area, gradient, step, pieces, bound };
})();
