// Khronos' own validator on a glTF file: `node validate.mjs FOLDER_OF_NODE_MODULES FILE`, its report as JSON.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [modules, file] = process.argv.slice(2);
const { validateBytes } = createRequire(join(modules, 'node_modules', 'x'))('gltf-validator');
process.stdout.write(JSON.stringify(await validateBytes(new Uint8Array(readFileSync(file)), { uri: file, maxIssues: 100 })));
