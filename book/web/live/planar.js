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

  function affine(layer, x) {
    const y = new Float64Array(layer.outputs);
    for (let o = 0, at = 0; o < layer.outputs; o++) {
      let sum = layer.bias[o];
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

  // The window [left, right, bottom, top] has coordinates u, v in [0, 1]; of each unit of one layer its value at the middle of a
  // region and its slopes in these coordinates. One pass for all three: this is where the time goes.
  function around(net, [left, right, bottom, top], region, depth) {
    const middle = centre(region), [u, v] = middle;
    let x = Float64Array.of(left + u * (right - left), bottom + v * (top - bottom), right - left, 0, 0, top - bottom);
    for (let l = 0; l <= depth; l++) {
      const { inputs, outputs, weight, bias } = net[l], y = new Float64Array(3 * outputs);
      for (let o = 0, at = 0; o < outputs; o++) {
        let value = bias[o], across = 0, up = 0;
        for (let i = 0; i < inputs; i++) {
          const w = weight[at++];
          if (l && !(x[i] > 0)) continue;
          value += w * x[i];
          across += w * x[inputs + i];
          up += w * x[2 * inputs + i];
        }
        y[o] = value;
        y[outputs + o] = across;
        y[2 * outputs + o] = up;
      }
      x = y;
    }
    const many = net[depth].outputs;
    return { at: x.subarray(0, many), across: x.subarray(many, 2 * many), up: x.subarray(2 * many), middle };
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

  // Values of an affine function at the corners of a polygon, kept here for the cut; what rounding cannot tell from zero is zero.
  // Returns whether it takes both signs.
  let values = new Float64Array(64);
  function crosses(polygon, at, across, up, [u, v], scale) {
    const n = polygon.length / 2, least = ROUNDING * scale;
    if (n > values.length) values = new Float64Array(2 * n);
    let some = false, others = false;
    for (let i = 0; i < n; i++) {
      const value = at + (polygon[2 * i] - u) * across + (polygon[2 * i + 1] - v) * up;
      if (value > least) some = true;
      else if (value < -least) others = true;
      values[i] = Math.abs(value) <= least ? 0 : value;
    }
    return some && others;
  }

  // The parts of a polygon on which the function of ``values`` is positive and negative, and the segment on which it is zero.
  function cut(polygon) {
    const above = [], below = [], wall = [], n = polygon.length / 2;
    for (let i = 0; i < n; i++) {
      const j = i + 1 < n ? i + 1 : 0, u = polygon[2 * i], v = polygon[2 * i + 1], here = values[i], there = values[j];
      if (here >= 0) above.push(u, v);
      if (here <= 0) below.push(u, v);
      if (here === 0) wall.push(u, v);
      if (here * there < 0) {
        const share = here / (here - there), x = u + share * (polygon[2 * j] - u), y = v + share * (polygon[2 * j + 1] - v);
        above.push(x, y);
        below.push(x, y);
        wall.push(x, y);
      }
    }
    return { above, below, wall };
  }

  const size = (unit, k) => Math.abs(unit.at[k]) + Math.abs(unit.across[k]) + Math.abs(unit.up[k]);

  // Cut every region where a unit of the next layer changes sign: on a region its units are affine functions.
  function refine(net, window, regions, depth) {
    const found = [], units = regions.map(region => around(net, window, region, depth));
    let largest = 0;
    for (const unit of units) for (let k = 0; k < unit.at.length; k++) largest = Math.max(largest, size(unit, k));
    regions.forEach((region, r) => {
      const unit = units[r];
      let pieces = [region];
      for (let k = 0; k < unit.at.length; k++) {
        const scale = Math.max(size(unit, k), NOISE / ROUNDING * largest), lines = [unit.at[k], unit.across[k], unit.up[k], unit.middle, scale];
        if (!crosses(region, ...lines)) continue;
        const next = [];
        for (const piece of pieces) {
          if (!crosses(piece, ...lines)) { next.push(piece); continue; }
          const { above, below } = cut(piece);
          next.push(above, below);
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
      const { at, across, up, middle } = around(net, window, region, net.length - 1);
      const lead = [at, across, up].map(scores => scores[1] - scores[0]);
      if (!crosses(region, ...lead, middle, lead.reduce((sum, part) => sum + Math.abs(part), 0))) { classes[Number(lead[0] > 0)].push(region); continue; }
      const { above, below, wall } = cut(region);
      classes[1].push(above);
      classes[0].push(below);
      boundary.push(wall);
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
