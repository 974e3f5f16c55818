import { useLayoutEffect, useRef, useState } from "react";
import { address } from "../../server/requests/client";

/** The scale of a picture in a box: the largest whole multiple that fits, or a reduction if none does. */
export function scaleIn(width: number, height: number, boxWidth: number, boxHeight: number): number {
  const most = Math.min(boxWidth / width, boxHeight / height);
  return most >= 1 ? Math.floor(most) : most;
}

/** A scale in words: `5 : 1`, `1 : 1`, `41 %`. */
export function scaleText(scale: number): string {
  return scale >= 1 ? `${scale} : 1` : `${Math.round(scale * 100)} %`;
}

export interface Size {
  width: number;
  height: number;
}

/** The size of an element, also after it changes. */
export function useBox<Element extends HTMLElement>(): [React.RefObject<Element | null>, Size] {
  const ref = useRef<Element | null>(null);
  const [box, setBox] = useState<Size>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const measure = () => setBox({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, box];
}

/** Crop marks that stand for a picture that is not there yet. */
export function Marks() {
  return <span className="marks" aria-hidden="true" />;
}

interface PictureProps {
  url: string;
  alt: string;
  /** The size of the box that it fits in. */
  box: Size;
  /** Called with the size in pixels and the scale once they are known. */
  onSize?: (size: Size, scale: number) => void;
  className?: string;
}

/** A picture at the largest whole multiple that fits in a box. It is never cropped. */
export function Picture({ url, alt, box, onSize, className }: PictureProps) {
  const [size, setSize] = useState<Size | null>(null);
  const scale = size === null ? 1 : scaleIn(size.width, size.height, box.width, box.height);
  const isKnown = size !== null && box.width > 0;
  return (
    <img
      className={className}
      src={address(url)}
      alt={alt}
      draggable={false}
      style={isKnown ? { width: size.width * scale, height: size.height * scale } : { maxWidth: "100%" }}
      onLoad={(event) => {
        const { naturalWidth: width, naturalHeight: height } = event.currentTarget;
        setSize((known) => (known?.width === width && known.height === height ? known : { width, height }));
        onSize?.({ width, height }, scaleIn(width, height, box.width, box.height));
      }}
    />
  );
}
