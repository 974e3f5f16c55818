import { expect, test } from "vitest";
import { ago, bytes, clock, figure, span } from "./format";

test.each([
  [4, "0.01 s"],
  [40, "0.04 s"],
  [400, "0.4 s"],
  [1849, "1.8 s"],
  [9960, "10 s"],
  [59_600, "1:00"],
  [3_725_000, "1:02:05"],
])("a span of %d ms is %s", (milliseconds, text) => expect(span(milliseconds)).toBe(text));

test("clocks, sizes and figures have fixed forms", () => {
  expect(clock(32_000)).toBe("0:32");
  expect(bytes(999)).toBe("999 B");
  expect(bytes(4_200_000)).toBe("4.2 MB");
  expect(bytes(6_900_000_000)).toBe("6.9 GB");
  expect(figure(0.0713)).toBe("0.071");
  expect(figure(0.001)).toBe("1.0e-3");
  expect(figure(0)).toBe("0");
});

test("how long ago something was", () => {
  expect(ago(1000, 1010)).toBe("now");
  expect(ago(1000, 1000 + 6 * 60)).toBe("6 min ago");
  expect(ago(1000, 1000 + 3 * 3600)).toBe("3 h ago");
});
