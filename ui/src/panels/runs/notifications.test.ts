import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { useView } from "../../state/view";
import { notifyOfEnd, switchNotifications } from "./runMessages";

const shown: string[] = [];
class Fake {
  static permission = "granted";
  static requestPermission = vi.fn(async () => Fake.permission);
  onclick: (() => void) | null = null;
  constructor(title: string) {
    shown.push(title);
  }
}

beforeEach(() => {
  shown.length = 0;
  Fake.permission = "granted";
  vi.stubGlobal("Notification", Fake);
  vi.stubGlobal("document", { visibilityState: "hidden" });
});
afterEach(() => vi.unstubAllGlobals());

test("a long run notifies while the page is hidden, and only if that is switched on", async () => {
  notifyOfEnd("off", "", 20_000);
  expect(Fake.requestPermission).not.toHaveBeenCalled();
  await switchNotifications(true);
  notifyOfEnd("short", "", 1000);
  notifyOfEnd("long", "", 20_000);
  vi.stubGlobal("document", { visibilityState: "visible" });
  notifyOfEnd("seen", "", 20_000);
  await switchNotifications(false);
  expect(shown).toEqual(["long"]);
});

test("without the browser's leave, the switch stays off", async () => {
  Fake.permission = "denied";
  await switchNotifications(true);
  expect(useView.getState().isNotifying).toBe(false);
});
