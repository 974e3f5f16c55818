import { useRef, useState } from "react";
import { address } from "../../server/requests/client";
import { Icon } from "../../style/Icon";
import type { CompareMode } from "./pictures";
import { Picture, type Size } from "./Stage";
import "./large.css";

interface Pictured {
  url: string;
}

interface CompareProps {
  a: Pictured;
  b: Pictured;
  mode: CompareMode;
  box: Size;
  onSize?: (size: Size, scale: number) => void;
}

/** Two pictures over each other with a divider, side by side, or their difference. */
export function Compare({ a, b, mode, box, onSize }: CompareProps) {
  if (mode === "side") {
    const half = { width: (box.width - 12) / 2, height: box.height };
    return (
      <div className="side-by-side">
        <Picture key={`a ${a.url}`} url={a.url} alt="A" box={half} />
        <Picture key={`b ${b.url}`} url={b.url} alt="B" box={half} {...(onSize ? { onSize } : {})} />
      </div>
    );
  }
  return (
    <Overlay key={mode} a={a} b={b} box={box} isSlider={mode === "slider"} {...(onSize ? { onSize } : {})} />
  );
}

interface OverlayProps extends Omit<CompareProps, "mode"> {
  isSlider: boolean;
}

function Overlay({ a, b, box, isSlider, onSize }: OverlayProps) {
  const [place, setPlace] = useState(50);
  const frame = useRef<HTMLDivElement>(null);
  const move = (event: React.PointerEvent) => {
    const bounds = frame.current?.getBoundingClientRect();
    if (bounds === undefined || bounds.width === 0) return;
    setPlace(Math.min(100, Math.max(0, ((event.clientX - bounds.left) / bounds.width) * 100)));
  };
  return (
    <div
      ref={frame}
      className={isSlider ? "compare" : "compare difference"}
      onPointerDown={(event) => {
        if (!isSlider || event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        move(event);
      }}
      onPointerMove={(event) => {
        if (isSlider && event.currentTarget.hasPointerCapture(event.pointerId)) move(event);
      }}
    >
      <Picture url={a.url} alt="A" box={box} {...(onSize ? { onSize } : {})} />
      <img
        className="above"
        src={address(b.url)}
        alt="B"
        draggable={false}
        style={isSlider ? { clipPath: `inset(0 0 0 ${place}%)` } : {}}
      />
      {isSlider && (
        <>
          <span className="divider" style={{ left: `${place}%` }} aria-hidden="true" />
          <span className="knob" style={{ left: `${place}%` }} aria-hidden="true">
            <Icon name="compare" />
          </span>
          <input
            type="range"
            className="over"
            min={0}
            max={100}
            value={Math.round(place)}
            aria-label="Divider between A and B"
            onChange={(event) => setPlace(Number(event.currentTarget.value))}
          />
        </>
      )}
    </div>
  );
}
