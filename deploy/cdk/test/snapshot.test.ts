// The templates of a new and of an imported pool, against the stored ones. UPDATE_SNAPSHOTS=1 writes them.

import { IUserPool } from 'aws-cdk-lib/aws-cognito';
import { Stack } from 'aws-cdk-lib';
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importedPool, newPool, synthesise } from './stack';

const STORED = join(__dirname, '..', '..', 'test', 'snapshots');

/** The template without the hashes of assets and versions, which change with each build. */
function stable(pool: (stack: Stack) => IUserPool): string {
  const text = JSON.stringify(synthesise(pool).template.toJSON(), undefined, 1);
  return `${text.replace(/[0-9a-f]{64}/g, 'HASH').replace(/(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}/g, '$1VERSION')}\n`;
}

for (const [name, pool] of Object.entries({ 'new-pool': newPool, 'imported-pool': importedPool })) {
  test(`the template of ${name} is the stored one`, () => {
    const path = join(STORED, `${name}.json`);
    const got = stable(pool);
    if (process.env.UPDATE_SNAPSHOTS) writeFileSync(path, got);
    assert.deepEqual(JSON.parse(got), JSON.parse(readFileSync(path, 'utf8')), 'if the change is meant: UPDATE_SNAPSHOTS=1 npm test');
  });
}
