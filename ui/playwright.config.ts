import { defineConfig } from "@playwright/test";
import { findBrowser } from "./e2e/browser.ts";

const executablePath = findBrowser();

/** The scenarios of the canvas in a real browser against a real server. Without a browser there are none. */
export default defineConfig({
  testDir: "e2e",
  testMatch: executablePath ? "**/*.spec.ts" : [],
  outputDir: "e2e/results",
  fullyParallel: true,
  workers: process.env.SAFELIGHT_E2E_WORKERS ? Number(process.env.SAFELIGHT_E2E_WORKERS) : 2,
  // These end what hangs; a busy machine is many times slower than an idle one.
  timeout: 300_000,
  expect: { timeout: 90_000 },
  forbidOnly: true,
  reporter: [["list", { printSteps: false }]],
  use: {
    viewport: { width: 1440, height: 900 },
    colorScheme: "dark",
    trace: "off",
    permissions: ["clipboard-read", "clipboard-write"],
    launchOptions: {
      ...(executablePath ? { executablePath } : {}),
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
      ],
    },
  },
});
