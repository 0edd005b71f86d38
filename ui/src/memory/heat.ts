const IN_RAM = 0x80;
const IN_VRAM = 0x40;
const USE = 0x3f;
/** Uses at least this fresh count as "lately". */
const WARM = 16;

export type Place = 'vram' | 'ram' | 'disk';
export type Use = 'never' | 'cold' | 'warm' | 'now';

/** The bytes of a snapshot's heat map; null if they are not `rows` x `columns`. */
export function decodeHeat(base64: string, rows: number, columns: number): Uint8Array | null {
  let binary: string;
  try {
    binary = atob(base64);
  } catch {
    return null;
  }
  if (binary.length !== rows * columns) return null;
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

export function placeOf(cell: number): Place {
  if (cell & IN_VRAM) return 'vram';
  return cell & IN_RAM ? 'ram' : 'disk';
}

export function useOf(cell: number): Use {
  const use = cell & USE;
  if (use === 0) return 'never';
  if (use === USE) return 'now';
  return use >= WARM ? 'warm' : 'cold';
}

export interface HeatSummary {
  vram: number;
  ram: number;
  /** Experts used lately, wherever they are. */
  used: number;
}

export function summarize(cells: Uint8Array): HeatSummary {
  const summary = { vram: 0, ram: 0, used: 0 };
  for (const cell of cells) {
    const place = placeOf(cell);
    if (place !== 'disk') summary[place] += 1;
    if ((cell & USE) >= WARM) summary.used += 1;
  }
  return summary;
}

export type Color = readonly [red: number, green: number, blue: number];

/** Colours from idle to just used, for each place. */
export type HeatColors = Record<Place, readonly [idle: Color, used: Color]>;

export const lightHeat: HeatColors = {
  disk: [
    [228, 228, 222],
    [214, 120, 30],
  ],
  ram: [
    [158, 209, 200],
    [3, 94, 84],
  ],
  vram: [
    [196, 178, 240],
    [92, 48, 190],
  ],
};

export const darkHeat: HeatColors = {
  disk: [
    [37, 42, 46],
    [240, 150, 60],
  ],
  ram: [
    [26, 84, 76],
    [120, 245, 222],
  ],
  vram: [
    [70, 54, 118],
    [200, 175, 255],
  ],
};

export function mix(from: Color, to: Color, share: number): Color {
  const at = (index: 0 | 1 | 2) => Math.round(from[index] + (to[index] - from[index]) * share);
  return [at(0), at(1), at(2)];
}

/** The colour of every possible cell, as one little-endian RGBA number each. */
export function palette(colors: HeatColors): Uint32Array {
  const all = new Uint32Array(256);
  for (let cell = 0; cell < 256; cell += 1) {
    const [idle, used] = colors[placeOf(cell)];
    // The square root spreads the many small values apart.
    const [red, green, blue] = mix(idle, used, Math.sqrt((cell & USE) / USE));
    all[cell] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return all;
}

/** Draws cells over the whole of `pixels` (`width` x `height`), with gaps where there is room for them. */
export function paint(
  cells: Uint8Array,
  rows: number,
  columns: number,
  colors: Uint32Array,
  pixels: Uint32Array,
  width: number,
  height: number,
): void {
  pixels.fill(0);
  const gapX = width / columns >= 6 ? 2 : width / columns >= 3 ? 1 : 0;
  const gapY = height / rows >= 6 ? 2 : height / rows >= 3 ? 1 : 0;
  const lefts = Array.from({ length: columns + 1 }, (_, column) => Math.round((column * width) / columns));
  for (let row = 0; row < rows; row += 1) {
    const top = Math.round((row * height) / rows);
    const bottom = Math.round(((row + 1) * height) / rows) - gapY;
    for (let column = 0; column < columns; column += 1) {
      const left = lefts[column] ?? 0;
      const right = (lefts[column + 1] ?? 0) - gapX;
      const color = colors[cells[row * columns + column] ?? 0] ?? 0;
      for (let y = top; y < bottom; y += 1) pixels.fill(color, y * width + left, y * width + right);
    }
  }
}
