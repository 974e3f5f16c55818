import { defineConfig } from "@playwright/test";
import { findBrowser } from "./e2e/browser.ts";
import config from "./playwright.config.ts";

/** What `make bench` measures of the canvas; `SAFELIGHT_FIGURES` names the file that the figures go to. */
export default defineConfig({
  ...config,
  testMatch: findBrowser() ? "**/*.bench.ts" : [],
  outputDir: "e2e/results/bench",
  workers: 1,
});
