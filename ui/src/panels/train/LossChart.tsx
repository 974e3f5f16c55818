import { type PointerEvent, useMemo } from "react";
import type { Checkpoint, Sample } from "../../server/runs/training";
import { figure } from "../format";
import { useBox } from "../pictures/Stage";
import { nearest, type Point, pathOf, rangeOf, scaleFor, smoothed, ticks } from "./curves";

export interface Curve {
  id: string;
  name: string;
  points: readonly Point[];
}

interface LossChartProps {
  /** The curve of the chosen run first. */
  curves: readonly Curve[];
  weight: number;
  samples: readonly Sample[];
  checkpoints: readonly Checkpoint[];
  /** The steps at which the training was continued. */
  resumes: readonly number[];
  /** The step after the last one, to leave room for what comes; 0 if it is unknown. */
  lastStep: number;
  /** The step under the pointer. */
  step: number | null;
  onStep: (step: number | null) => void;
}

const HEIGHT = 248;
const LEFT = 46;
const RIGHT = 12;
const TOP = 26;
const BOTTOM = 40;
const DASHES = ["", "", "6 3", "2 3", "8 3 2 3"];

/** The loss: raw and smoothed, other runs in grey, marks for checkpoints, samples and resumes. */
export function LossChart(props: LossChartProps) {
  const { curves, weight, samples, checkpoints, resumes, lastStep, step, onStep } = props;
  const [frame, { width }] = useBox<HTMLDivElement>();
  const drawn = useMemo(
    () => curves.map((curve) => ({ ...curve, smooth: smoothed(curve.points, weight) })),
    [curves, weight],
  );
  const all = drawn.flatMap((curve) => curve.points);
  const steps = all.map(([at]) => at);
  const first = Math.min(0, ...steps);
  const last = Math.max(1, lastStep, ...steps);
  const range = useMemo(() => rangeOf(all.length > 0 ? all : [[0, 0]]), [all]);
  const box = {
    left: LEFT,
    top: TOP,
    width: Math.max(10, width - LEFT - RIGHT),
    height: HEIGHT - TOP - BOTTOM,
  };
  const scale = scaleFor([first, last], range, box);
  const main = drawn[0];
  const foot = HEIGHT - BOTTOM;
  const upright = (at: number) => ({ x1: scale.x(at), x2: scale.x(at), y1: TOP, y2: foot });
  const move = (event: PointerEvent<SVGSVGElement>) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    const at = first + ((event.clientX - bounds.left - LEFT) / box.width) * (last - first);
    onStep(at < first || at > last ? null : Math.round(at));
  };
  const read = step === null ? [] : drawn.map((curve) => ({ curve, point: nearest(curve.smooth, step) }));
  const sampled = [...new Set(samples.map((sample) => sample.step))];
  const newest = main?.smooth.at(-1);

  return (
    <div ref={frame} className="chart">
      <svg
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={`Loss by step. ${newest ? `Step ${newest[0]}: ${figure(newest[1])}.` : "No steps yet."}`}
        onPointerMove={move}
        onPointerLeave={() => onStep(null)}
      >
        {ticks(range[0], range[1], 4).map((value) => (
          <g key={value}>
            <line
              className="grid-line"
              x1={LEFT}
              x2={LEFT + box.width}
              y1={scale.y(value)}
              y2={scale.y(value)}
            />
            <text className="tick" x={LEFT - 10} y={scale.y(value) + 4} textAnchor="end">
              {figure(value)}
            </text>
          </g>
        ))}
        {ticks(first, last, 7)
          .filter(Number.isInteger)
          .map((at) => (
            <text key={at} className="tick" x={scale.x(at)} y={HEIGHT - 8} textAnchor="middle">
              {at}
            </text>
          ))}
        {checkpoints.map(({ step: at, name }) => (
          <g key={`${at} ${name}`}>
            <title>{`Checkpoint at step ${at}`}</title>
            <line className="mark-line" {...upright(at)} />
            <use href="#i-flag" x={scale.x(at) - 6} y={TOP - 18} width={12} height={12} className="mark" />
          </g>
        ))}
        {resumes.map((at) => (
          <line key={`resume ${at}`} className="mark-line resume" {...upright(at)}>
            <title>{`Continued at step ${at}`}</title>
          </line>
        ))}
        {sampled.map((at) => (
          <rect key={at} className="mark-sample" x={scale.x(at) - 3} y={foot - 3} width={6} height={6}>
            <title>{`Samples at step ${at}`}</title>
          </rect>
        ))}
        {drawn.slice(1).map((curve, i) => (
          <path
            key={curve.id}
            className="curve other"
            d={pathOf(curve.smooth, scale)}
            strokeDasharray={DASHES[i + 1] ?? DASHES[4]}
          />
        ))}
        {main && (
          <>
            <path className="curve raw" d={pathOf(main.points, scale)} />
            <path className="curve smooth" d={pathOf(main.smooth, scale)} />
            {newest && <circle className="newest" cx={scale.x(newest[0])} cy={scale.y(newest[1])} r={3.5} />}
          </>
        )}
        {step !== null && <line className="hairline" {...upright(step)} />}
        {read.map(({ curve, point }, i) =>
          point ? (
            <circle
              key={curve.id}
              className={i === 0 ? "newest" : "newest other"}
              cx={scale.x(point[0])}
              cy={scale.y(point[1])}
              r={3.5}
            />
          ) : null,
        )}
      </svg>
      {step !== null && read.length > 0 && (
        <div
          className="chart-tip"
          style={
            scale.x(step) > width - 170 ? { right: width - scale.x(step) + 12 } : { left: scale.x(step) + 12 }
          }
        >
          <b>step {step}</b>
          {read.map(({ curve, point }, i) => (
            <span key={curve.id}>
              <i className={i === 0 ? "key-smooth" : "key-other"} />
              <span className="grow cut">{curve.name}</span>
              {point ? figure(point[1]) : ""}
            </span>
          ))}
        </div>
      )}
    </div>
  );
}

interface SparkProps {
  name: string;
  points: readonly Point[];
  lastStep: number;
  step: number | null;
}

const SPARK = { left: 1, top: 4, width: 182, height: 34 };

/** A small curve of one number, with its value at the hairline or the latest. */
export function Spark({ name, points, lastStep, step }: SparkProps) {
  const range = rangeOf(points);
  const last = Math.max(lastStep, points.at(-1)?.[0] ?? 1);
  const scale = scaleFor([0, last], range, SPARK);
  const read = step === null ? points.at(-1) : nearest(points, step);
  return (
    <figure className="spark">
      <figcaption>
        <span>{name}</span>
        <b>{read ? figure(read[1]) : "–"}</b>
      </figcaption>
      <svg width="100%" height={42} viewBox="0 0 184 42" preserveAspectRatio="none" aria-hidden="true">
        <line className="grid-line" x1={0} x2={184} y1={40} y2={40} />
        <path className="curve other" d={pathOf(points, scale)} />
        {step !== null && <line className="hairline" x1={scale.x(step)} x2={scale.x(step)} y1={2} y2={40} />}
      </svg>
    </figure>
  );
}
