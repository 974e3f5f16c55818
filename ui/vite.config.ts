import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../engine/server/static",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      checks: { pluginTimings: false },
      // One file for what most parts of the page share; many small files compress less.
      output: { codeSplitting: { groups: [{ name: "shared", minShareCount: 3, test: /src\// }] } },
    },
    reportCompressedSize: false,
  },
  test: { include: ["src/**/*.test.{ts,tsx}"] },
});
