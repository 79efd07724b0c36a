import { CustomResource, Duration, Stack } from 'aws-cdk-lib';
import { CfnUserPool, IUserPool, LambdaVersion, UserPool, UserPoolOperation } from 'aws-cdk-lib/aws-cognito';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Alias, CfnPermission, Code, Function, ILayerVersion, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { asset } from './assets';

/** A trigger: `pre` decides, `post` learns, `token` sets claims. */
export type RiskgateTrigger = 'pre' | 'post' | 'token';

/** How the user pool calls riskgate. */
export interface TriggerProps {
  /** The user pool. A pool that this app creates gets its triggers in its own template; an imported one by a custom resource. */
  readonly userPool: IUserPool;
  /**
   * The triggers to attach.
   * @default all three
   */
  readonly triggers?: readonly RiskgateTrigger[];
  /**
   * The event version of the token trigger.
   * @default V2_0, or V1_0 on the Lite tier
   */
  readonly tokenVersion?: LambdaVersion;
  /**
   * Whether to attach the three triggers of the custom challenge too. It needs `challengeAt`, and `challengeFrom` or `challengeWebhook`.
   * @default false
   */
  readonly challengeTriggers?: boolean;
  /**
   * For an imported pool: whether to accept app clients whose flows avoid the challenge. Their tokens are restricted until a pass.
   * @default false
   */
  readonly restrictionSuffices?: boolean;
  /**
   * For an imported pool: layers of the function that attaches, such as one with a newer boto3. It refuses a pool with settings that its
   * boto3 does not know, because an update would reset them.
   * @default none
   */
  readonly attachLayers?: readonly ILayerVersion[];
}

const OPERATIONS = { pre: UserPoolOperation.PRE_AUTHENTICATION, post: UserPoolOperation.POST_AUTHENTICATION };
const CHALLENGE_OPERATIONS = [
  UserPoolOperation.DEFINE_AUTH_CHALLENGE,
  UserPoolOperation.CREATE_AUTH_CHALLENGE,
  UserPoolOperation.VERIFY_AUTH_CHALLENGE_RESPONSE,
];

/** Returns whether the app creates the pool. Two copies of aws-cdk-lib must not make a difference, so the class is not compared. */
export function isOwned(pool: IUserPool): pool is UserPool {
  return typeof (pool as Partial<UserPool>).addTrigger === 'function';
}

/** Lets Cognito call the alias, and attaches the triggers. */
export function attachTriggers(scope: Construct, alias: Alias, props: TriggerProps): void {
  if (isOwned(props.userPool)) attachToOwned(scope, props.userPool, alias, props);
  else attachToImported(scope, alias, props);
}

function permit(scope: Construct, alias: Alias, sourceArn: string): CfnPermission {
  return new CfnPermission(scope, 'CognitoMayCall', {
    // The permission is for the alias, never for the function: Cognito calls only published versions.
    functionName: alias.functionArn,
    action: 'lambda:InvokeFunction',
    principal: 'cognito-idp.amazonaws.com',
    sourceAccount: Stack.of(scope).account,
    sourceArn,
  });
}

function attachToOwned(scope: Construct, pool: UserPool, alias: Alias, props: TriggerProps): void {
  // The pool's own ARN would make the permission wait for the pool. Until it exists, every sign-in to a pool with triggers fails.
  const permission = permit(scope, alias, Stack.of(scope).formatArn({ service: 'cognito-idp', resource: 'userpool', resourceName: '*' }));
  pool.node.addDependency(permission);
  // An imported function gets no permission from addTrigger, which would refer to the pool.
  const target = Function.fromFunctionAttributes(scope, 'Target', { functionArn: alias.functionArn, sameEnvironment: false, skipPermissions: true });
  const triggers = props.triggers ?? ['pre', 'post', 'token'];
  for (const name of ['pre', 'post'] as const) if (triggers.includes(name)) pool.addTrigger(OPERATIONS[name], target);
  if (triggers.includes('token')) {
    const lite = (pool.node.defaultChild as CfnUserPool | undefined)?.userPoolTier === 'LITE';
    const version = props.tokenVersion ?? (lite ? LambdaVersion.V1_0 : LambdaVersion.V2_0);
    pool.addTrigger(UserPoolOperation.PRE_TOKEN_GENERATION_CONFIG, target, version);
  }
  if (props.challengeTriggers) CHALLENGE_OPERATIONS.forEach((operation) => pool.addTrigger(operation, target));
}

function attachToImported(scope: Construct, alias: Alias, props: TriggerProps): void {
  const pool = props.userPool;
  const permission = permit(scope, alias, pool.userPoolArn);
  const backup = new Secret(scope, 'PoolBackup', {
    description: `settings of the user pool before riskgate's triggers changed; deploy/attach undo --backup reads them`,
  });
  const logGroup = new LogGroup(scope, 'AttachLogs', { retention: RetentionDays.THREE_MONTHS });
  const role = new Role(scope, 'AttachRole', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
  policies(alias, props).forEach((statement) => role.addToPolicy(statement));
  logGroup.grantWrite(role);
  backup.grantWrite(role);
  const attach = new Function(scope, 'Attach', {
    description: "riskgate: attaches triggers to a user pool, and preserves the pool's other settings",
    runtime: Runtime.PYTHON_3_14,
    handler: 'index.handler',
    code: Code.fromAsset(asset('attach')),
    timeout: Duration.minutes(2),
    memorySize: 256,
    role: role.withoutPolicyUpdates(),
    logGroup,
    layers: props.attachLayers ? [...props.attachLayers] : undefined,
    environment: { BACKUP_SECRET: backup.secretArn },
  });
  const resource = new CustomResource(scope, 'Triggers', {
    resourceType: 'Custom::RiskgateTriggers',
    serviceToken: attach.functionArn,
    serviceTimeout: Duration.minutes(5),
    properties: {
      Pool: pool.userPoolId,
      Function: alias.functionArn,
      Triggers: (props.triggers ?? ['pre', 'post', 'token']).join(','),
      TokenVersion: props.tokenVersion,
      Challenge: props.challengeTriggers ?? false,
      RestrictionSuffices: props.restrictionSuffices ?? false,
    },
  });
  resource.node.addDependency(permission, role);
}

/** What `deploy/attach` calls: docs/DEPLOY.md lists it. */
function policies(alias: Alias, props: TriggerProps): PolicyStatement[] {
  const statements = [
    new PolicyStatement({
      actions: [
        'cognito-idp:DescribeUserPool',
        'cognito-idp:UpdateUserPool',
        'cognito-idp:GetUserPoolMfaConfig',
        'cognito-idp:SetUserPoolMfaConfig',
        'cognito-idp:GetUserPoolSessionConfiguration',
        'cognito-idp:ListUserPoolClients',
        'cognito-idp:DescribeUserPoolClient',
      ],
      resources: [props.userPool.userPoolArn],
    }),
    new PolicyStatement({
      actions: ['lambda:GetAlias', 'lambda:GetFunctionConfiguration', 'lambda:GetPolicy', 'lambda:InvokeFunction'],
      resources: [alias.lambda.functionArn, alias.functionArn],
    }),
    // An update sends the pool's role for text messages again, whichever it is.
    new PolicyStatement({
      actions: ['iam:PassRole'],
      resources: ['*'],
      conditions: { StringEquals: { 'iam:PassedToService': 'cognito-idp.amazonaws.com' } },
    }),
  ];
  // Whether SES would send a challenge's codes. GetAccount has no resource.
  if (props.challengeTriggers) statements.push(new PolicyStatement({ actions: ['ses:GetAccount', 'ses:GetEmailIdentity'], resources: ['*'] }));
  return statements;
}
