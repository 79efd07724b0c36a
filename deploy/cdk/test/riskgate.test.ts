import { App, Duration, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { FeaturePlan, LambdaVersion, UserPool, UserPoolOperation } from 'aws-cdk-lib/aws-cognito';
import { SubnetType, Vpc } from 'aws-cdk-lib/aws-ec2';
import { Function } from 'aws-cdk-lib/aws-lambda';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Topic } from 'aws-cdk-lib/aws-sns';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Riskgate } from '../src';
import { code, importedPool, newPool, synthesise } from './stack';

type Resource = { Type: string; Properties: Record<string, any>; DependsOn?: string[] };

function all(template: Template, type: string): Resource[] {
  return Object.values(template.findResources(type)) as Resource[];
}

function variables(template: Template): Record<string, unknown> {
  const [found] = Object.values(template.findResources('AWS::Lambda::Function', { Properties: { Runtime: 'provided.al2023' } })) as Resource[];
  return found.Properties.Environment.Variables;
}

function policies(template: Template, name: string): any[] {
  return all(template, 'AWS::IAM::Role').flatMap((role) => role.Properties.Policies ?? []).filter((found) => found.PolicyName === name);
}

function pool(template: Template): Resource {
  return all(template, 'AWS::Cognito::UserPool')[0];
}

test('a pool of the app gets the three triggers, and calls the alias', () => {
  const { template, stack, riskgate } = synthesise(newPool);
  const alias = stack.resolve(riskgate.alias.functionArn);
  assert.deepEqual(pool(template).Properties.LambdaConfig, {
    PreAuthentication: alias,
    PostAuthentication: alias,
    PreTokenGenerationConfig: { LambdaArn: alias, LambdaVersion: 'V2_0' },
  });
  template.resourceCountIs('Custom::RiskgateTriggers', 0);
});

test('the permission exists before the pool calls the function', () => {
  const { template } = synthesise(newPool);
  const [id] = Object.keys(template.findResources('AWS::Lambda::Permission', { Properties: { Principal: 'cognito-idp.amazonaws.com' } }));
  assert.ok(pool(template).DependsOn?.includes(id));
  template.resourceCountIs('AWS::Lambda::Permission', 1);
});

test('the token trigger of a Lite pool takes events of version 1', () => {
  const { template } = synthesise((stack) => new UserPool(stack, 'Pool', { featurePlan: FeaturePlan.LITE }));
  assert.equal(pool(template).Properties.LambdaConfig.PreTokenGenerationConfig.LambdaVersion, 'V1_0');
});

test('some triggers, and those of a challenge, can be chosen', () => {
  const { template } = synthesise(newPool, {
    triggers: ['pre', 'post'], challengeTriggers: true, challengeAt: 65, challengeFrom: 'security@example.com',
    challengeIdentityArn: 'arn:aws:ses:eu-west-1:123456789012:identity/example.com',
  });
  const names = ['CreateAuthChallenge', 'DefineAuthChallenge', 'PostAuthentication', 'PreAuthentication', 'VerifyAuthChallengeResponse'];
  assert.deepEqual(Object.keys(pool(template).Properties.LambdaConfig).sort(), names);
});

test('challenge triggers without a way to send codes are refused', () => {
  assert.throws(() => synthesise(newPool, { challengeTriggers: true }), /challengeFrom or challengeWebhook/);
});

test('a trigger that another function has is not replaced', () => {
  const taken = (stack: Stack): UserPool => {
    const made = newPool(stack);
    made.addTrigger(UserPoolOperation.PRE_AUTHENTICATION, Function.fromFunctionArn(stack, 'Other', 'arn:aws:lambda:eu-west-1:123456789012:function:other'));
    return made;
  };
  assert.throws(() => synthesise(taken), /preAuthentication already exists/);
});

test('riskgate and the pool can be in two stacks', () => {
  const app = new App({ builtinCloudFormationValidation: false });
  const userPool = new UserPool(new Stack(app, 'Pool'), 'Pool');
  new Riskgate(new Stack(app, 'Risk'), 'Riskgate', { userPool, code: code() });
  const stacks = app.synth().stacks;
  assert.deepEqual(stacks.map((stack) => [stack.stackName, stack.dependencies.map((other) => other.id)]).filter(([, on]) => on.length > 1 || on[0] === 'Risk').map(([name]) => name), ['Pool']);
});

test('an imported pool is attached by a custom resource, with the same logic as deploy/attach', () => {
  const { template, stack, riskgate } = synthesise(importedPool, { tokenVersion: LambdaVersion.V3_0 });
  template.hasResource('Custom::RiskgateTriggers', {
    Properties: {
      Pool: 'eu-west-1_AbCdEfGhI', Function: stack.resolve(riskgate.alias.functionArn), Triggers: 'pre,post,token', TokenVersion: 'V3_0', Challenge: false,
    },
    DependsOn: Match.arrayWith([Match.stringLikeRegexp('CognitoMayCall')]),
  });
  template.hasResourceProperties('AWS::Lambda::Permission', {
    SourceArn: 'arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbCdEfGhI',
  });
});

test('a secret variable is a reference, and the function may read that secret only', () => {
  const { template } = synthesise(newPool, (stack) => {
    const keys = Secret.fromSecretNameV2(stack, 'Keys', 'my/keys');
    return { ipqsKey: { secret: keys, field: 'ipqs' }, contextKeys: { secret: keys, field: 'context' }, abuseipdbKey: new Secret(stack, 'Own') };
  });
  const set = variables(template);
  assert.match(JSON.stringify(set.RISKGATE_IPQS_KEY), /secretsmanager:\/\/.*secret:my\/keys#ipqs/);
  assert.match(JSON.stringify(set.RISKGATE_ABUSEIPDB_KEY), /secretsmanager:\/\/.*Own/);
  const [policy] = all(template, 'AWS::IAM::Role').flatMap((role) => role.Properties.Policies ?? []).filter((found) => found.PolicyName === 'keys');
  const [statement] = policy.PolicyDocument.Statement;
  assert.equal(statement.Action, 'secretsmanager:GetSecretValue');
  assert.equal(statement.Resource.length, 2);
  assert.match(JSON.stringify(statement.Resource), /secret:my\/keys-\?\?\?\?\?\?/);
});

test('numbers, lists and durations become texts that riskgate reads', () => {
  const { template } = synthesise(newPool, { denyAt: 82.5, denyCountries: ['KP', 'IR'], budget: Duration.seconds(2), historyTtl: '90d', environment: { RISKGATE_MODE__web: 'enforce' } });
  const set = variables(template);
  assert.equal(set.RISKGATE_DENY_AT, '82.5');
  assert.equal(set.RISKGATE_DENY_COUNTRIES, 'KP,IR');
  assert.equal(set.RISKGATE_BUDGET, '2000ms');
  assert.equal(set.RISKGATE_HISTORY_TTL, '90d');
  assert.equal(set.RISKGATE_MODE__web, 'enforce');
});

test('an id that would make a cycle is refused with the way out', () => {
  const app = new App({ builtinCloudFormationValidation: false });
  const stack = new Stack(app, 'Identity');
  const userPool = newPool(stack);
  const trustedClients = [userPool.addClient('Backend', { generateSecret: true }).userPoolClientId];
  assert.throws(() => new Riskgate(stack, 'Riskgate', { userPool, code: code(), trustedClients }), /RISKGATE_TRUSTED_CLIENTS refers to Identity\/Pool\/Backend.*literal text/);
});

test('another store needs no table and no permission for one', () => {
  const { template, riskgate } = synthesise(newPool, { store: 'rediss://cache:6379/0' });
  template.resourceCountIs('AWS::DynamoDB::Table', 0);
  assert.equal(riskgate.table, undefined);
  assert.equal(variables(template).RISKGATE_STORE, 'rediss://cache:6379/0');
  assert.ok(!JSON.stringify(all(template, 'AWS::IAM::Role')).includes('dynamodb:'));
});

test('in a VPC the role has the six actions of network interfaces, and no managed policy', () => {
  const { template } = synthesise(newPool, (stack) => ({ vpc: new Vpc(stack, 'Vpc', { maxAzs: 2 }), vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS } }));
  const role = all(template, 'AWS::IAM::Role').find((found) => JSON.stringify(found).includes('"PolicyName":"logs"'));
  assert.equal(role?.Properties.ManagedPolicyArns, undefined);
  const [policy] = role?.Properties.Policies.filter((found: any) => found.PolicyName === 'network-interfaces');
  assert.equal(policy.PolicyDocument.Statement[0].Action.length, 6);
});

test('the alarms notify the topic, and the dashboard names the function', () => {
  const { template, stack } = synthesise(newPool, (scope) => ({ alarmTopic: new Topic(scope, 'Topic'), functionName: 'risk-a' }));
  const [topic] = Object.keys(template.findResources('AWS::SNS::Topic'));
  const alarms = all(template, 'AWS::CloudWatch::Alarm');
  assert.ok(alarms.length >= 10);
  assert.ok(alarms.every((alarm) => JSON.stringify(stack.resolve(alarm.Properties)).includes('risk-a-')));
  assert.ok(JSON.stringify(alarms[0]).includes(topic));
  template.hasResourceProperties('AWS::CloudWatch::Dashboard', { DashboardName: 'risk-a' });
});

test('verified sessions add a queue and a function with the same variables, for one pool and at most two actions', () => {
  const { template, riskgate } = synthesise(newPool, { verifiedSessions: { maxConcurrency: 5 }, denyAt: 82.5, sessionOnDeny: 'revoke' });
  const functions = all(template, 'AWS::Lambda::Function').filter((found) => found.Properties.Runtime === 'provided.al2023');
  assert.equal(functions.length, 2);
  assert.deepEqual(functions[0].Properties.Environment, functions[1].Properties.Environment);
  const [queue] = Object.keys(template.findResources('AWS::SQS::Queue', { Properties: { QueueName: 'riskgate-sessions' } }));
  assert.deepEqual(variables(template).RISKGATE_SESSION_QUEUE, { Ref: queue });
  assert.ok(riskgate.sessionFunction);
  template.hasResourceProperties('AWS::Lambda::EventSourceMapping', { ScalingConfig: { MaximumConcurrency: 5 }, FunctionResponseTypes: ['ReportBatchItemFailures'] });
  const statement = policies(template, 'sessions')[0].PolicyDocument.Statement[0];
  assert.deepEqual(statement.Action, ['cognito-idp:AdminListUserSessions', 'cognito-idp:AdminRevokeUserSession']);
  assert.match(JSON.stringify(statement.Resource), /Pool/);
  assert.throws(() => synthesise(newPool, { verifiedSessions: {}, sessionQueue: 'https://sqs.eu-west-1.amazonaws.com/1/q' }), /leave sessionQueue out/);
});

test('authentication events need one action, and are never revoked', () => {
  const { template } = synthesise(newPool, { verifiedSessions: {}, sessionSource: 'auth_events' });
  assert.equal(policies(template, 'sessions')[0].PolicyDocument.Statement[0].Action, 'cognito-idp:AdminListUserAuthEvents');
});

test('a pool of another stack has the policy of the session function in its stack', () => {
  const app = new App({ builtinCloudFormationValidation: false });
  const userPool = new UserPool(new Stack(app, 'Pool'), 'Pool');
  new Riskgate(new Stack(app, 'Risk'), 'Riskgate', { userPool, code: code(), verifiedSessions: {} });
  const [found] = app.synth().stacks.filter((stack) => stack.stackName === 'Pool');
  assert.match(JSON.stringify(found.template), /AWS::IAM::RolePolicy.*AdminListUserSessions/);
});

test("the stack's description stays that of the app", () => {
  assert.equal(synthesise(newPool).template.toJSON().Description, undefined);
});

test('without a package and without code, the error says what to do', () => {
  const stack = new Stack(new App(), 'Identity');
  assert.throws(() => new Riskgate(stack, 'Riskgate', { userPool: newPool(stack), architecture: { name: 'none' } as never }), /just package/);
});
