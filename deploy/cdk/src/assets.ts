import { Architecture, AssetCode, Code } from 'aws-cdk-lib/aws-lambda';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const ASSETS = join(__dirname, '..', 'assets');

/** Returns the path of a file that belongs to the package. */
export function asset(name: string): string {
  return join(ASSETS, name);
}

/** Returns the function's package for an architecture, if this npm package has it. */
export function bundledCode(architecture: Architecture): AssetCode {
  const name = `riskgate-${architecture.name}.zip`;
  if (!existsSync(asset(name))) {
    throw new Error(
      `this npm package was built without ${name}. Run \`just package\` and then \`npm run build\` in deploy/cdk, use the package of a release, ` +
        'or pass `code`',
    );
  }
  return Code.fromAsset(asset(name));
}
