import { type ReactNode, useId } from "react";
import { DocText } from "./DocText";

interface FieldRowProps {
  /** A name, or what shows it under this id. */
  title: ReactNode | ((id: string) => ReactNode);
  doc?: string;
  isTall?: boolean;
  children: ReactNode;
}

/** A named control in a panel. */
export function FieldRow({ title, doc = "", isTall, children }: FieldRowProps) {
  const id = useId();
  return (
    <fieldset className={isTall ? "control tall" : "control"} aria-labelledby={id}>
      {typeof title === "function" ? (
        title(id)
      ) : (
        <span id={id} className="control-name cut" title={doc}>
          {title}
        </span>
      )}
      <div className="control-field">{children}</div>
      {doc !== "" && (
        <p className="control-doc meta">
          <DocText text={doc} />
        </p>
      )}
    </fieldset>
  );
}
