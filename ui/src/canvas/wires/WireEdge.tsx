import { type Edge, type EdgeProps, type ReactFlowState, useReactFlow, useStore } from "@xyflow/react";
import { type MouseEvent, memo, useMemo, useState } from "react";
import type { Box, Point } from "../../document/graph";
import { SOCKET_HIT } from "../flow";
import { addWaypoint, Waypoints } from "./Waypoints";
import { useWireDrag } from "./wireDrag";
import { type At, crosses, middle, wireCurves, wirePath } from "./wirePath";

export interface WireData extends Record<string, unknown> {
  /** The family of the output, and of the input. */
  readonly family: string;
  readonly toFamily: string;
  /** True if the wire carries a list. */
  readonly isList: boolean;
  /** True if the value is converted on its way, such as an int to a float. */
  readonly isConverted: boolean;
  /** True if the output does not fit the input; a file may have such wires. */
  readonly isWrong: boolean;
  readonly waypoints: readonly Point[];
}

export type WireFlowEdge = Edge<WireData, "wire">;

const NO_DATA: WireData = {
  family: "values",
  toFamily: "values",
  isList: false,
  isConverted: false,
  isWrong: false,
  waypoints: [],
};

/** How far outside the view a wire may be and still show its width or its mark, in px of the screen. */
const MARGIN = 24;

/**
 * Whether a wire crosses the view. The library draws all wires whose frames touch the view; of many long wires, such as
 * those of one model, most do not cross it.
 */
function useIsInView(from: At, to: At, between: readonly At[]): boolean {
  const ends = [from, ...between, to].flatMap(({ x, y }) => [x, y]).join(" ");
  // biome-ignore lint/correctness/useExhaustiveDependencies: `ends` stands for the three
  const isIn = useMemo(() => {
    const curves = wireCurves(from, to, between);
    let last: ReactFlowState | undefined;
    let answer = false;
    return (state: ReactFlowState) => {
      const { transform, width, height } = state;
      const isMoved = last?.transform !== transform || last?.width !== width || last?.height !== height;
      last = state;
      if (isMoved) {
        const box = viewOf(transform, width, height);
        answer = curves.some((curve) => crosses(curve, box));
      }
      return answer;
    };
  }, [ends]);
  return useStore(isIn);
}

/** What the view shows of the canvas, with a margin. */
function viewOf([x, y, zoom]: ReactFlowState["transform"], width: number, height: number): Box {
  const side = (length: number) => (length + 2 * MARGIN) / zoom;
  return [(-x - MARGIN) / zoom, (-y - MARGIN) / zoom, side(width), side(height)];
}

/** A wire: a casing, so that crossings can be read, and the line in the colour of its family. */
export const WireEdge = memo(function WireEdge(props: EdgeProps<WireFlowEdge>) {
  const { id, sourceX, sourceY, targetX, targetY, selected, data = NO_DATA } = props;
  const isPulled = useWireDrag((drag) => drag.pulled === id && drag.from !== null);
  const isTarget = useWireDrag((drag) => drag.target === id);
  // The library ends wires at the outer side of a socket's square; here they end in its middle.
  const from = { x: sourceX - SOCKET_HIT / 2, y: sourceY };
  const to = { x: targetX + SOCKET_HIT / 2, y: targetY };
  const [dragged, setDragged] = useState<readonly Point[] | null>(null);
  const { screenToFlowPosition } = useReactFlow();
  const points = dragged ?? data.waypoints;
  const between = points.map(([x, y]) => ({ x, y }));
  const isInView = useIsInView(from, to, between);
  if (isPulled || !isInView) return null;
  const path = wirePath(from, to, between);
  const classes = [
    "wire",
    `family-${data.family}`,
    selected && "selected",
    isTarget && "target",
    data.isWrong && "wrong",
  ];
  const mark = middle(from, to);
  const bendAt = (event: MouseEvent) =>
    addWaypoint(id, screenToFlowPosition({ x: event.clientX, y: event.clientY }));
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: bends are layout, and each can be moved by keyboard
    <g
      className={classes.filter(Boolean).join(" ")}
      onDoubleClick={bendAt}
      onClick={(event) => {
        if (!event.altKey) return;
        event.stopPropagation();
        bendAt(event);
      }}
    >
      <path className="wire-hit" d={path} />
      {!data.isWrong && <path className="wire-case" d={path} />}
      <path className={`wire-line${data.isList ? " list" : ""}`} d={path} />
      {data.isList && <path className="wire-gap" d={path} />}
      {data.isConverted && (
        <>
          <path className={`wire-line second family-${data.toFamily}`} d={path} pathLength={1} />
          <g transform={`translate(${mark.x} ${mark.y})`}>
            <rect className="wire-notch" x={-7} y={-7} width={14} height={14} rx={3} />
            <path className="wire-chevron" d="M-1.5-3 1.5 0-1.5 3" />
          </g>
        </>
      )}
      {points.length > 0 && <Waypoints wire={id} points={points} onDrag={setDragged} />}
    </g>
  );
});
