/** What is painted on a mask: a list of changes, so that the last one can be taken back. */

export type Change =
  | { readonly kind: "fill" }
  | { readonly kind: "clear" }
  | {
      readonly kind: "paint" | "erase";
      /** The width in pixels of the picture. */
      readonly size: number;
      /** In pixels of the picture. */
      readonly points: readonly (readonly [x: number, y: number])[];
    };

/** The widths of the brush that `[` and `]` go through. */
export const SIZES = [2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

/** The next width of the brush. */
export function nextSize(size: number, direction: 1 | -1): number {
  const known = direction === 1 ? SIZES.find((one) => one > size) : SIZES.findLast((one) => one < size);
  return known ?? size;
}

/** Paint a mask anew: opaque where it is on. `base` is the mask before the changes. */
export function paint(
  context: CanvasRenderingContext2D,
  changes: readonly Change[],
  base: CanvasImageSource | null,
): void {
  const { width, height } = context.canvas;
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, width, height);
  if (base) context.drawImage(base, 0, 0, width, height);
  for (const change of changes) apply(context, change);
}

/** Add one change to a painted mask. */
export function apply(context: CanvasRenderingContext2D, change: Change): void {
  const { width, height } = context.canvas;
  context.globalCompositeOperation = change.kind === "erase" ? "destination-out" : "source-over";
  if (change.kind === "clear") return context.clearRect(0, 0, width, height);
  context.fillStyle = context.strokeStyle = "#ff4d3d";
  if (change.kind === "fill") return context.fillRect(0, 0, width, height);
  const [first, ...rest] = change.points;
  if (!first) return;
  context.lineWidth = change.size;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...first);
  for (const point of rest.length > 0 ? rest : [first]) context.lineTo(...point);
  context.stroke();
}

/** A painted mask as a picture: white where it is on, black elsewhere. */
export async function maskFile(painted: HTMLCanvasElement): Promise<Blob> {
  const canvas = document.createElement("canvas");
  canvas.width = painted.width;
  canvas.height = painted.height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("the browser cannot draw");
  context.drawImage(painted, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the mask cannot be saved")))),
  );
}

/** A mask file as a layer to paint on: its white parts opaque in the colour of the brush. */
export function asLayer(mask: ImageBitmap): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = mask.width;
  canvas.height = mask.height;
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  context.drawImage(mask, 0, 0);
  const pixels = context.getImageData(0, 0, mask.width, mask.height);
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    data[at + 3] = Math.round(0.299 * data[at]! + 0.587 * data[at + 1]! + 0.114 * data[at + 2]!);
    [data[at], data[at + 1], data[at + 2]] = [255, 77, 61];
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
