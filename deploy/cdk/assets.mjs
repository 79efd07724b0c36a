// Copies what the construct deploys into dist/assets: the program that attaches, the alarms, and the function's packages if they are built.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const here = new URL('./', import.meta.url);
const copy = (from, to) => copyFileSync(new URL(from, here), new URL(`dist/assets/${to}`, here));

mkdirSync(new URL('dist/assets/attach', here), { recursive: true });
copy('../attach', 'attach/attach.py');
copy('attach/index.py', 'attach/index.py');
// An included template would replace the description of the app's stack.
const watch = readFileSync(new URL('../cloudwatch/watch.yaml', here), 'utf8');
writeFileSync(new URL('dist/assets/watch.yaml', here), watch.replace(/^(AWSTemplateFormatVersion|Description): .*\n/gm, ''));
for (const architecture of ['arm64', 'x86_64']) {
  const built = `../../target/package/riskgate-${architecture}.zip`;
  if (existsSync(new URL(built, here))) copy(built, `riskgate-${architecture}.zip`);
}
