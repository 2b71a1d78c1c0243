import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Packs each file once, when it is built, instead of each time that it is asked for. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    writeBundle(options) {
      const folder = join(options.dir ?? "dist", "assets");
      for (const name of readdirSync(folder)) {
        if (/\.(js|css|svg)$/.test(name)) {
          writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(folder, name)), { level: 9 }));
        }
      }
    },
  };
}

/** The design system has its fonts inside of its style sheet; as files, a browser loads only those that it shows. */
function fontsAsFiles(): Plugin {
  return {
    name: "fonts-as-files",
    apply: "build",
    generateBundle(_options, bundle) {
      for (const asset of Object.values(bundle)) {
        if (asset.type !== "asset" || !asset.fileName.endsWith(".css")) continue;
        asset.source = String(asset.source).replace(/url\(data:font\/woff2;base64,([A-Za-z0-9+/=]+)\)/g, (_all, packed) => {
          const id = this.emitFile({ type: "asset", name: "font.woff2", source: Buffer.from(packed, "base64") });
          return `url(/_portside/console/${this.getFileName(id)})`;
        });
      }
    },
  };
}

export default defineConfig({
  base: "/_portside/console/",
  plugins: [react(), fontsAsFiles(), packed()],
  build: {
    target: "es2022",
    // Nothing inline: the content security policy takes files of this host only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2500,
    reportCompressedSize: false,
  },
});
