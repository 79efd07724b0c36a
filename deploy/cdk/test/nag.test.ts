// cdk-nag's pack AwsSolutions, and the construct library's own validation, over a new and an imported pool.

import { App, Stack, Validations } from 'aws-cdk-lib';
import { IUserPool } from 'aws-cdk-lib/aws-cognito';
import { AwsSolutionsChecks } from 'cdk-nag';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importedPool, newPool, Others, synthesise } from './stack';

const challenge = { challengeTriggers: true, challengeAt: 65, challengeWebhook: 'https://codes.example.com/' };
const CASES: Record<string, [(stack: Stack) => IUserPool, Others]> = {
  'a new pool': [newPool, challenge],
  'an imported pool': [importedPool, challenge],
  'a new pool with verified sessions': [newPool, { verifiedSessions: {}, sessionOnDeny: 'revoke' }],
  'a store that is no table': [newPool, { store: 'rediss://cache:6379/0' }],
};

interface Violation {
  readonly ruleName: string;
  readonly violatingConstructs: readonly { readonly constructPath?: string }[];
}

/** Returns the findings in the construct. Those in the pool belong to the test. */
function findings(app: App): string[] {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  try {
    app.synth({ force: true });
  } catch (error) {
    // The report is written before errors end the synthesis.
    assert.match(String(error), /Validation failed/);
  }
  const report = JSON.parse(readFileSync(join(app.outdir, 'validation-report.json'), 'utf8'));
  const violations: Violation[] = report.pluginReports.flatMap((plugin: { violations: Violation[] }) => plugin.violations);
  const found = violations.flatMap((violation) => violation.violatingConstructs.map((at) => `${violation.ruleName} ${at.constructPath}`));
  return found.filter((finding) => !finding.includes(' Identity/Pool/'));
}

for (const [name, [pool, others]] of Object.entries(CASES)) {
  test(`nothing is found in riskgate behind ${name}`, () => {
    assert.deepEqual(findings(synthesise(pool, others, true).app), []);
  });
}
