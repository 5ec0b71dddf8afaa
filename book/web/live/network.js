// A convolutional network with skips: scores, templates (rows of its affine map), codes, and the way to the nearest wall.
const deepatomsNetwork = (() => {
  const map = (channels, rows, columns) => ({ channels, rows, columns, values: new Float64Array(channels * rows * columns) });

  // A linear layer is a convolution of one pixel.
  const shapeOf = layer => layer.op === "linear" ? [layer.shape[0], layer.shape[1], 1, 0] : [...layer.shape.slice(0, 3), layer.padding];

  function conv(layer, x) {
    const [outputs, inputs, size, p] = shapeOf(layer);
    const y = map(outputs, x.rows + 2 * p - size + 1, x.columns + 2 * p - size + 1), plane = y.rows * y.columns;
    if (layer.bias) for (let o = 0; o < outputs; o++) y.values.fill(layer.bias[o], o * plane, (o + 1) * plane);
    const weights = layer.weight, below = x.values, above = y.values;
    for (let o = 0, at = 0; o < outputs; o++) for (let c = 0; c < inputs; c++) for (let a = 0; a < size; a++) for (let b = 0; b < size; b++) {
      const w = weights[at++], first = Math.max(0, p - b), last = Math.min(y.columns, x.columns + p - b);
      for (let i = Math.max(0, p - a), end = Math.min(y.rows, x.rows + p - a); i < end; i++) {
        const from = (c * x.rows + i + a - p) * x.columns + b - p, to = (o * y.rows + i) * y.columns;
        for (let j = first; j < last; j++) above[to + j] += w * below[from + j];
      }
    }
    return y;
  }

  // The way back, for many outputs at once (theirs stand side by side at each unit): nothing comes from a unit without slope.
  function convBack(layer, x, slopes, many) {
    const [outputs, inputs, size, p] = shapeOf(layer), below = new Float64Array(x.values.length * many);
    const rows = x.rows + 2 * p - size + 1, columns = x.columns + 2 * p - size + 1, weights = layer.weight;
    for (let o = 0, to = 0; o < outputs; o++) for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++, to += many) {
      let any = false;
      for (let k = 0; k < many; k++) any ||= slopes[to + k] !== 0;
      if (!any) continue;
      for (let c = 0; c < inputs; c++) for (let a = Math.max(0, p - i), last = Math.min(size, x.rows + p - i); a < last; a++)
        for (let b = Math.max(0, p - j), end = Math.min(size, x.columns + p - j); b < end; b++) {
          const w = weights[((o * inputs + c) * size + a) * size + b];
          const from = ((c * x.rows + i + a - p) * x.columns + j + b - p) * many;
          for (let k = 0; k < many; k++) below[from + k] += w * slopes[to + k];
        }
    }
    return below;
  }

  // The cells of a 2 x 2 window, row by row: the first of equal ones wins, as in torch.
  function windows(x, visit) {
    const rows = x.rows >> 1, columns = x.columns >> 1;
    for (let c = 0, to = 0; c < x.channels; c++) for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++, to++) {
      const at = (c * x.rows + 2 * i) * x.columns + 2 * j;
      visit(to, [at, at + 1, at + x.columns, at + x.columns + 1]);
    }
  }

  // Run forward; the tape keeps of each layer what the way back and the slopes need.
  function forward(layers, x, tape) {
    for (const layer of layers) {
      const step = { layer, x };
      tape.push(step);
      if (layer.op === "sum") {
        const y = forward(layer.branch, x, step.branch = []), skip = forward(layer.shortcut, x, step.shortcut = []);
        x = { ...y, values: y.values.map((value, i) => value + skip.values[i]) };
      } else if (layer.weight) x = conv(layer, x);
      else if (layer.op === "relu") x = { ...x, values: x.values.map(value => Math.max(0, value)) };
      else if (layer.op === "flatten") x = { channels: x.values.length, rows: 1, columns: 1, values: x.values };
      else {
        const y = map(x.channels, x.rows >> 1, x.columns >> 1);
        if (layer.op === "maxpool") step.winners = new Int32Array(y.values.length);
        windows(x, (to, cells) => {
          if (layer.op === "avgpool") { y.values[to] = cells.reduce((sum, at) => sum + x.values[at], 0) / 4; return; }
          const winner = cells.reduce((best, at) => x.values[at] > x.values[best] ? at : best);
          y.values[to] = x.values[step.winners[to] = winner];
        });
        x = y;
      }
    }
    return x;
  }

  function backward(tape, slopes, many) {
    for (let step = tape.length - 1; step >= 0; step--) {
      const { layer, x, branch, shortcut, winners } = tape[step];
      if (layer.op === "sum") {
        const one = backward(branch, slopes, many), other = backward(shortcut, slopes, many);
        slopes = one.map((value, i) => value + other[i]);
      } else if (layer.op === "relu") {
        slopes = slopes.slice();
        x.values.forEach((value, i) => { if (!(value > 0)) slopes.fill(0, i * many, (i + 1) * many); });
      } else if (layer.weight) slopes = convBack(layer, x, slopes, many);
      else if (layer.op !== "flatten") {
        const below = new Float64Array(x.values.length * many);
        const add = (at, to, part) => { for (let k = 0; k < many; k++) below[at * many + k] += part * slopes[to * many + k]; };
        if (layer.op === "maxpool") winners.forEach((at, to) => add(at, to, 1));
        else windows(x, (to, cells) => { for (const at of cells) add(at, to, 0.25); });
        slopes = below;
      }
    }
    return slopes;
  }

  // Slopes along a direction, and on the way the nearest place where a unit or a window's winner changes.
  function along(tape, slopes, found) {
    for (const { layer, x, branch, shortcut, winners } of tape) {
      const here = { ...x, values: slopes };
      if (layer.op === "sum") {
        const one = along(branch, slopes, found), other = along(shortcut, slopes, found);
        slopes = one.map((value, i) => value + other[i]);
      } else if (layer.op === "relu") {
        x.values.forEach((value, i) => { if (value > 0 ? slopes[i] < 0 : slopes[i] > 0) found.nearest = Math.min(found.nearest, -value / slopes[i]); });
        slopes = slopes.map((value, i) => x.values[i] > 0 ? value : 0);
      } else if (layer.op === "maxpool") {
        const y = new Float64Array(winners.length);
        windows(x, (to, cells) => {
          const winner = winners[to];
          for (const at of cells) if (slopes[at] > slopes[winner])
            found.nearest = Math.min(found.nearest, (x.values[winner] - x.values[at]) / (slopes[at] - slopes[winner]));
          y[to] = slopes[winner];
        });
        slopes = y;
      } else if (layer.op === "avgpool") {
        const y = new Float64Array(x.channels * (x.rows >> 1) * (x.columns >> 1));
        windows(x, (to, cells) => { y[to] = cells.reduce((sum, at) => sum + slopes[at], 0) / 4; });
        slopes = y;
      } else if (layer.weight) slopes = conv({ ...layer, bias: null }, here).values;
    }
    return slopes;
  }

  // One number a unit: whether a rectifier is on; which cell of its window wins, 0 to 3.
  function codes(tape) {
    return tape.flatMap(({ layer, x, branch, shortcut, winners }) => {
      if (layer.op === "sum") return [...codes(branch), ...codes(shortcut)];
      if (layer.op === "relu") return [Uint8Array.from(x.values, value => value > 0)];
      if (layer.op !== "maxpool") return [];
      const won = new Uint8Array(winners.length);
      windows(x, (to, cells) => { won[to] = cells.indexOf(winners[to]); });
      return [won];
    });
  }

  const decoded = layers => layers.map(layer => ({ ...layer,
    ...(layer.weight && { weight: deepatomsLive.numbers(layer.weight), bias: deepatomsLive.numbers(layer.bias) }),
    ...(layer.branch && { branch: decoded(layer.branch), shortcut: decoded(layer.shortcut) }) }));

  // What the theory says of one image: scores, templates (classes x pixels), codes, and the wall along a direction.
  function read(layers, shape, values) {
    const [channels, rows, columns] = shape, tape = [];
    const scores = forward(layers, { channels, rows, columns, values }, tape).values;
    const many = scores.length, one = Float64Array.from({ length: many * many }, (_, i) => i % (many + 1) ? 0 : 1);
    const slopes = backward(tape, one, many);
    const templates = Array.from(scores, (_, k) => Float64Array.from(values, (_, pixel) => slopes[pixel * many + k]));
    const wall = direction => {
      const found = { nearest: Infinity };
      along(tape, direction, found);
      return found.nearest;
    };
    return { scores, templates, codes: codes(tape), wall };
  }

  return { decoded, read };
})();
