import { readFileSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { defineConfig } from 'vite'

// Ingress serves what lies beside, as it is.
const packed = {
  name: 'packed',
  closeBundle() {
    for (const name of ['widget.js', 'widget.css']) {
      writeFileSync(`dist/${name}.gz`, gzipSync(readFileSync(`dist/${name}`), { level: 9 }))
    }
  },
}

export default defineConfig({
  define: { __VUE_OPTIONS_API__: 'false' },
  plugins: [packed],
  build: {
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    rollupOptions: {
      input: 'src/main.ts',
      // The packages do nothing when they are loaded but define.
      treeshake: { moduleSideEffects: id => id.includes('/src/') },
      output: { entryFileNames: 'widget.js', assetFileNames: 'widget.[ext]', inlineDynamicImports: true },
    },
  },
})
