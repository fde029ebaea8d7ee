// Scales from values to pixels, their ticks, and colors.

const SERIES = 6;
// Viridis at nine even places (van der Walt and Smith), which is even in lightness and safe for the color-blind.
const VIRIDIS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];

function viridis(share) {
  const place = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const mix = VIRIDIS[low].map((value, i) => Math.round(value + (place - low) * (VIRIDIS[low + 1][i] - value)));
  return `rgb(${mix.join(",")})`;
}

// Black or white, whichever can be read on a color of viridis.
function inkOn(share) {
  return share > 0.55 ? "#000" : "#fff";
}

function series(place) {
  return `var(--series-${(place % SERIES) + 1})`;
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (isNumber(value)) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : [0, 1];
}

function niceStep(width, count) {
  const rough = width / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

// A linear scale from [low, high] to pixels; `whole` leaves ticks at whole numbers only.
function linear([low, high], [from, to], { whole = false, pad = 0 } = {}) {
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const margin = (high - low) * pad;
  [low, high] = [low - margin, high + margin];
  const scale = (value) => from + ((value - low) / (high - low)) * (to - from);
  scale.ticks = (count) => {
    const step = Math.max(niceStep(high - low, count), whole ? 1 : 0);
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(Number((n * step).toPrecision(12)));
    return found;
  };
  return scale;
}

function log([low, high], [from, to], { pad = 0 } = {}) {
  let [a, b] = [Math.log10(low), Math.log10(high)];
  if (a === b) [a, b] = [a - 0.5, b + 0.5];
  const margin = (b - a) * pad;
  [a, b] = [a - margin, b + margin];
  const scale = (value) => from + ((Math.log10(value) - a) / (b - a)) * (to - from);
  scale.ticks = (count) => {
    const factors = b - a < 1 ? [1, 2, 5] : b - a < 2.5 ? [1, 3] : [1];
    const found = [];
    for (let power = Math.floor(a); power <= Math.ceil(b); power++) {
      for (const factor of factors) {
        const value = Number((factor * 10 ** power).toPrecision(3));
        if (Math.log10(value) >= a - 1e-9 && Math.log10(value) <= b + 1e-9) found.push(value);
      }
    }
    const every = Math.ceil(found.length / Math.max(2, count));
    return found.filter((_, place) => place % every === 0);
  };
  return scale;
}

// Numbers that lie far apart are shown on a logarithmic scale.
function isWide(values) {
  const [low, high] = extent(values);
  return low > 0 && high > 20 * low;
}

// A place for each of some names.
function band(names, [from, to]) {
  const step = (to - from) / Math.max(1, names.length);
  const scale = (place) => from + (place + 0.5) * step;
  scale.step = Math.abs(step);
  return scale;
}
