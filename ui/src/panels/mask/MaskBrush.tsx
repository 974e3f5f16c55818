/** Paints a mask over a picture: a brush, an eraser, undo. The result is a file that a LoadMask loads. */
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { type MaskPlace, withMask } from "../../schema/masks";
import { blobUrl, blobValue, upload } from "../../server/documents/files";
import { address, extraHeaders } from "../../server/requests/client";
import { edit, graph, selectNodes } from "../../state/editor";
import { say, sayError } from "../../state/status";
import { typed } from "../../state/types";
import { IconButton } from "../../style/Icon";
import { attempt } from "../attempt";
import { type Size, scaleIn, useBox } from "../pictures/Stage";
import { closeMask, maskKey, setChanges, useMask } from "./maskStore";
import { apply, asLayer, type Change, maskFile, nextSize, paint, SIZES } from "./strokes";
import "../pictures/large.css";

/** The most pixels of a picture that a mask is painted on. */
const MOST_PIXELS = 40e6;

export function MaskBrush() {
  const open = useMask((state) => state.open);
  return open && <Painter key={maskKey(open.place)} place={open.place} />;
}

interface Loaded {
  readonly picture: ImageBitmap;
  /** The mask before the changes. */
  readonly base: HTMLCanvasElement | null;
}

const NONE: readonly Change[] = [];

function Painter({ place }: { place: MaskPlace }) {
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [size, setSize] = useState(24);
  const [isErasing, setErasing] = useState(false);
  const [isSaving, setSaving] = useState(false);
  const changes = useMask((state) => state.changes[maskKey(place)] ?? NONE);
  const root = useRef<HTMLElement>(null);
  const layer = useRef<HTMLCanvasElement>(null);
  const [stage, box] = useBox<HTMLDivElement>();

  useEffect(() => root.current?.focus(), []);
  useEffect(() => {
    let isCurrent = true;
    void attempt(load(place)).then((found) => {
      if (!isCurrent) return;
      if (!found) return closeMask();
      setLoaded(found);
      setSize(SIZES.findLast((one) => one <= found.picture.width / 10) ?? SIZES[0]!);
    });
    return () => {
      isCurrent = false;
    };
  }, [place]);
  useEffect(() => {
    const context = layer.current?.getContext("2d");
    if (context && loaded) paint(context, changes, loaded.base);
  }, [changes, loaded]);

  const add = (change: Change) => setChanges(place, [...changes, change]);
  const undo = () => setChanges(place, changes.slice(0, -1));
  const use = async () => {
    if (!layer.current) return;
    setSaving(true);
    const found = await attempt(maskFile(layer.current).then(upload));
    setSaving(false);
    if (found) finish(place, blobValue(found));
  };
  const press = (event: KeyboardEvent) => {
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "Escape") closeMask();
    else if (event.key === "[" && isPlain) setSize(nextSize(size, -1));
    else if (event.key === "]" && isPlain) setSize(nextSize(size, 1));
    else if (event.key === "e" && isPlain) setErasing(!isErasing);
    else if (event.key === "z" && !isPlain && changes.length > 0) undo();
    else if (event.key === "Enter" && !isPlain) void use();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <section ref={root} className="large mask" aria-label="Mask brush" tabIndex={-1} onKeyDown={press}>
      <header className="large-head">
        <fieldset className="segments" aria-label="Tool">
          {(["Brush", "Eraser"] as const).map((tool) => (
            <label key={tool} className={isErasing === (tool === "Eraser") ? "on" : ""}>
              <input
                type="radio"
                name="mask-tool"
                checked={isErasing === (tool === "Eraser")}
                onChange={() => setErasing(tool === "Eraser")}
              />
              {tool}
            </label>
          ))}
        </fieldset>
        <label className="mask-size">
          Size
          <input
            type="range"
            className="slider"
            aria-label="Size of the brush"
            aria-valuetext={`${size} pixels`}
            min={0}
            max={SIZES.length - 1}
            value={SIZES.indexOf(size)}
            style={
              { "--part": `${(100 * SIZES.indexOf(size)) / (SIZES.length - 1)}%` } as React.CSSProperties
            }
            onChange={(event) => setSize(SIZES[Number(event.currentTarget.value)] ?? size)}
          />
          <span className="meta">{size} px</span>
        </label>
        <button type="button" className="button mini" disabled={changes.length === 0} onClick={undo}>
          Undo
        </button>
        <button type="button" className="button mini" onClick={() => add({ kind: "clear" })}>
          Clear
        </button>
        <button type="button" className="button mini" onClick={() => add({ kind: "fill" })}>
          Fill
        </button>
        <span className="grow" />
        <button
          type="button"
          className="button solid"
          disabled={loaded === null || isSaving}
          onClick={() => void use()}
        >
          Use the mask
        </button>
        <IconButton icon="close" label="Close the brush" onClick={closeMask} />
      </header>
      <div ref={stage} className="large-stage">
        {loaded && (
          <Layers loaded={loaded} box={box} size={size} isErasing={isErasing} layer={layer} onStroke={add} />
        )}
      </div>
      <p className="mask-keys meta">
        <kbd>[</kbd> <kbd>]</kbd> size <kbd>E</kbd> eraser <kbd>Ctrl Z</kbd> undo <kbd>Ctrl ↵</kbd> uses the
        mask <kbd>Esc</kbd> closes; what is painted stays
      </p>
    </section>
  );
}

interface LayersProps {
  readonly loaded: Loaded;
  readonly box: Size;
  readonly size: number;
  readonly isErasing: boolean;
  readonly layer: React.RefObject<HTMLCanvasElement | null>;
  readonly onStroke: (change: Change) => void;
}

/** The picture, the mask over it, and the ring that shows the brush. */
function Layers({ loaded, box, size, isErasing, layer, onStroke }: LayersProps) {
  const { width, height } = loaded.picture;
  const scale = scaleIn(width, height, box.width, box.height);
  const below = useRef<HTMLCanvasElement>(null);
  const ring = useRef<HTMLDivElement>(null);
  const points = useRef<[number, number][] | null>(null);
  const kind = isErasing ? "erase" : "paint";

  useEffect(() => below.current?.getContext("2d")?.drawImage(loaded.picture, 0, 0), [loaded]);
  const pointOf = (event: PointerEvent): [number, number] => {
    const area = event.currentTarget.getBoundingClientRect();
    return [(event.clientX - area.left) / scale, (event.clientY - area.top) / scale];
  };
  const move = (event: PointerEvent<HTMLElement>) => {
    const point = pointOf(event);
    if (ring.current) ring.current.style.translate = `${point[0] * scale}px ${point[1] * scale}px`;
    const context = layer.current?.getContext("2d");
    const last = points.current?.at(-1);
    if (!last || !context || event.buttons === 0) return;
    points.current?.push(point);
    apply(context, { kind, size, points: [last, point] });
  };
  const start = (event: PointerEvent<HTMLElement>) => {
    const context = layer.current?.getContext("2d");
    if (event.button !== 0 || !context) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    points.current = [pointOf(event)];
    apply(context, { kind, size, points: points.current });
  };
  const end = () => {
    if (points.current) onStroke({ kind, size, points: points.current });
    points.current = null;
  };
  return (
    <div
      className="mask-layers"
      style={{ width: width * scale, height: height * scale }}
      onPointerDown={start}
      onPointerMove={move}
      onPointerUp={end}
      onLostPointerCapture={end}
    >
      <canvas ref={below} width={width} height={height} role="img" aria-label="The picture under the mask" />
      <canvas
        ref={layer}
        width={width}
        height={height}
        className="mask-layer"
        role="img"
        aria-label="The mask"
      />
      <div
        ref={ring}
        className="mask-ring"
        style={{ width: size * scale, height: size * scale, margin: `${(-size * scale) / 2}px` }}
      />
    </div>
  );
}

async function load(place: MaskPlace): Promise<Loaded> {
  const picture = await bitmap(place.picture);
  if (picture.width * picture.height > MOST_PIXELS)
    throw new Error(
      `a picture of ${picture.width} × ${picture.height} pixels is too large to paint a mask on`,
    );
  const isOwn = place.mask !== undefined && place.mask !== place.picture;
  return {
    picture,
    base: isOwn && blobUrl(place.mask ?? "") ? asLayer(await bitmap(place.mask ?? "")) : null,
  };
}

async function bitmap(value: string): Promise<ImageBitmap> {
  const found = await fetch(address(blobUrl(value) ?? ""), { headers: extraHeaders() });
  if (!found.ok) throw new Error("the picture is not on the server any more: drop it on the field again");
  return createImageBitmap(await found.blob());
}

/** Put the mask into the graph, as one step. */
function finish(place: MaskPlace, value: string): void {
  const end = useMask.getState().open?.end;
  if (!end || !graph().nodes.has(end.node))
    return sayError(`${end?.node ?? "The node"} is not in the graph.`);
  const done = withMask(graph(), typed(), end, value);
  edit(`Paint the mask ${done.node}`, () => done.graph);
  setChanges(place, NONE);
  closeMask();
  selectNodes([done.node]);
  say(done.isTaken ? `${done.node} loads the mask.` : `${done.node} loads the mask; connect it to a node.`);
}
