/** A choice of things on the canvas, such as the selection. */
export interface Items {
  readonly nodes?: Iterable<string> | undefined;
  readonly notes?: Iterable<string> | undefined;
  readonly frames?: Iterable<string> | undefined;
}
