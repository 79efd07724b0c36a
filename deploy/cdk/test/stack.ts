// Shared by the tests: apps with one riskgate, and their templates.

import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { IUserPool, UserPool } from 'aws-cdk-lib/aws-cognito';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Riskgate, RiskgateProps, RiskgateVariables } from '../src';
import { VARIABLES } from '../src/variables';

// The end of an empty archive: no test needs the function's binary.
const zip = join(mkdtempSync(join(tmpdir(), 'riskgate-cdk-')), 'riskgate.zip');
writeFileSync(zip, Buffer.from('504b0506' + '00'.repeat(18), 'hex'));

export const code = (): Code => Code.fromAsset(zip);

export interface Synthesised {
  readonly app: App;
  readonly stack: Stack;
  readonly riskgate: Riskgate;
  readonly template: Template;
}

export type Others = Omit<Partial<RiskgateProps>, 'userPool'>;

/** An app whose stack has riskgate behind the pool that `pool` makes. The validation of its templates takes seconds to start. */
export function synthesise(pool: (stack: Stack) => IUserPool, props: Others | ((stack: Stack) => Others) = {}, builtinCloudFormationValidation = false): Synthesised {
  const app = new App({ context: { '@aws-cdk/core:enablePartitionLiterals': true }, builtinCloudFormationValidation });
  const stack = new Stack(app, 'Identity', { env: { account: '123456789012', region: 'eu-west-1' } });
  const others = typeof props === 'function' ? props(stack) : props;
  const riskgate = new Riskgate(stack, 'Riskgate', { code: code(), ...others, userPool: pool(stack) });
  return { app, stack, riskgate, template: Template.fromStack(stack) };
}

export const newPool = (stack: Stack): UserPool => new UserPool(stack, 'Pool');

export const importedPool = (stack: Stack): IUserPool => UserPool.fromUserPoolId(stack, 'Pool', 'eu-west-1_AbCdEfGhI');

const SECRETS = new Set([
  'minfraudLicenseKey', 'ipqsKey', 'abuseipdbKey', 'crowdsecKey', 'crowdsecCtiKey', 'httpHeaders', 'pseudonymKey', 'challengeWebhookSecret', 'contextKeys',
  'token', 'dashboardViewToken', 'dashboardOperators', 'dashboardProxySecret',
]);

/** Every variable as a prop: secrets from fields of one secret, all others with a text that names them. */
export function everyVariable(stack: Stack): RiskgateVariables {
  const secret = Secret.fromSecretNameV2(stack, 'Keys', 'my/keys');
  const entries = Object.entries(VARIABLES).map(([prop, name]) => [prop, SECRETS.has(prop) ? { secret, field: name } : `value of ${name}`]);
  return Object.fromEntries(entries);
}
