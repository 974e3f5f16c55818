import { useMemo, useState } from "react";
import { address } from "../../server/requests/client";
import type { Sample } from "../../server/runs/training";
import { Compare } from "../pictures/Compare";
import { Marks, useBox } from "../pictures/Stage";

export interface Matrix {
  captions: readonly string[];
  steps: readonly number[];
  at: (caption: string, step: number) => Sample | undefined;
}

/** The samples by caption and step. */
export function matrixOf(samples: readonly Sample[]): Matrix {
  const captions = [...new Set(samples.map((sample) => sample.caption))];
  const steps = [...new Set(samples.map((sample) => sample.step))].sort((a, b) => a - b);
  const cells = new Map(samples.map((sample) => [`${sample.step} ${sample.caption}`, sample]));
  return { captions, steps, at: (caption, step) => cells.get(`${step} ${caption}`) };
}

/** Rows are prompts, columns are steps; the first column is untrained. A click on two compares them. */
export function SampleMatrix({ samples }: { samples: readonly Sample[] }) {
  const { captions, steps, at } = useMemo(() => matrixOf(samples), [samples]);
  const [chosen, setChosen] = useState<readonly Sample[]>([]);
  const [a, b] = chosen;
  const choose = (sample: Sample) =>
    setChosen((known) =>
      known.some((item) => item.url === sample.url && item.step === sample.step)
        ? known.filter((item) => item.url !== sample.url || item.step !== sample.step)
        : [...known.slice(-1), sample],
    );
  return (
    <section className="samples" aria-label="Samples">
      <header>
        <h3>Samples</h3>
        <span className="grow" />
        <span className="meta">{b ? "" : "Click two to compare"}</span>
      </header>
      {samples.length === 0 && <p className="empty-note">Samples appear here while the training runs.</p>}
      {samples.length > 0 && (
        <div className="matrix-scroll">
          <table className="matrix">
            <thead>
              <tr>
                <td />
                {steps.map((step) => (
                  <th key={step} scope="col">
                    {step === 0 ? "untrained" : step}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {captions.map((caption) => (
                <tr key={caption}>
                  <th scope="row">{caption}</th>
                  {steps.map((step) => {
                    const sample = at(caption, step);
                    if (sample === undefined) {
                      return (
                        <td key={step}>
                          <span className="cell-empty">
                            <Marks />
                          </span>
                        </td>
                      );
                    }
                    const letter = a === sample ? (b ? "A" : "B") : b === sample ? "B" : "";
                    return (
                      <td key={step}>
                        <button
                          type="button"
                          className={`matrix-cell ${letter}`}
                          aria-pressed={letter !== ""}
                          aria-label={`${caption}, ${step === 0 ? "untrained" : `step ${step}`}`}
                          onClick={() => choose(sample)}
                        >
                          <SamplePicture url={sample.url} />
                        </button>
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {a && b && <Pair a={a} b={b} onClose={() => setChosen([])} />}
    </section>
  );
}

const RETRIES = 10;
const RETRY_MS = 700;

/** A sample picture. The server announces it a moment before it can be read, so it is asked for again. */
function SamplePicture({ url }: { url: string }) {
  const [attempts, setAttempts] = useState(0);
  const retry = () => {
    if (attempts < RETRIES) setTimeout(() => setAttempts(attempts + 1), RETRY_MS);
  };
  return <img key={attempts} src={address(url)} alt="" draggable={false} onError={retry} />;
}

function Pair({ a, b, onClose }: { a: Sample; b: Sample; onClose: () => void }) {
  const [frame, box] = useBox<HTMLDivElement>();
  return (
    <div className="sample-pair">
      <div ref={frame} className="sample-stage">
        <Compare a={a} b={b} mode="slider" box={box} />
      </div>
      <p className="meta">
        A: {a.step === 0 ? "untrained" : `step ${a.step}`}, B: {b.step === 0 ? "untrained" : `step ${b.step}`}
        .{" "}
        <button type="button" className="link" onClick={onClose}>
          Close
        </button>
      </p>
    </div>
  );
}
