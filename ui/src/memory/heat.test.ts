import { expect, test } from 'vitest';
import { darkHeat, decodeHeat, lightHeat, paint, palette, placeOf, summarize, useOf } from './heat';

const encode = (...cells: number[]) => btoa(String.fromCharCode(...cells));

test('decodes bytes, and refuses what is not of the right size', () => {
  expect(decodeHeat(encode(0, 0x80, 0xff, 0x41, 0x3f, 0x10), 2, 3)).toEqual(
    Uint8Array.from([0, 0x80, 0xff, 0x41, 0x3f, 0x10]),
  );
  expect(decodeHeat(encode(1, 2, 3), 2, 2)).toBeNull();
  expect(decodeHeat('no base64!', 1, 1)).toBeNull();
  expect(decodeHeat('', 0, 0)).toEqual(new Uint8Array());
});

test('bit 7 is RAM, bit 6 VRAM, the rest is use', () => {
  expect([0x00, 0x3f, 0x80, 0x40, 0xc0].map(placeOf)).toEqual(['disk', 'disk', 'ram', 'vram', 'vram']);
  expect([0x80, 0x81, 0x8f, 0x90, 0xbe, 0xbf].map(useOf)).toEqual([
    'never',
    'cold',
    'cold',
    'warm',
    'warm',
    'now',
  ]);
});

test('counts places and fresh uses', () => {
  expect(summarize(Uint8Array.from([0, 0x3f, 0x80, 0xbf, 0x40, 0x41]))).toEqual({ vram: 2, ram: 2, used: 2 });
});

test('every cell value has an opaque colour; place and use both show', () => {
  for (const colors of [lightHeat, darkHeat]) {
    const table = palette(colors);
    expect([...table].every((color) => color >>> 24 === 255)).toBe(true);
    expect(new Set([0x00, 0x3f, 0x80, 0xbf, 0x40, 0x7f].map((cell) => table[cell])).size).toBe(6);
    const [red, green, blue] = colors.ram[0];
    expect(table[0x80]).toBe(((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0);
  }
});

test('paints each cell where it belongs, with gaps where there is room', () => {
  const table = Uint32Array.from({ length: 256 }, (_, index) => index + 1);
  const pixels = new Uint32Array(12 * 8);
  paint(Uint8Array.from([10, 20, 30, 40]), 2, 2, table, pixels, 12, 8);
  const at = (x: number, y: number) => pixels[y * 12 + x];
  expect([at(0, 0), at(3, 0), at(4, 0), at(6, 0)]).toEqual([11, 11, 0, 21]);
  expect([at(0, 2), at(0, 3), at(0, 4), at(6, 4)]).toEqual([11, 0, 31, 41]);
});

test('more cells than pixels still fill the picture', () => {
  const pixels = new Uint32Array(10 * 4);
  paint(new Uint8Array(4 * 32), 4, 32, palette(lightHeat), pixels, 10, 4);
  expect(pixels.every((pixel) => pixel !== 0)).toBe(true);
});
