import { CfnOutput, Duration, Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { AttributeType, BillingMode, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import { ISecurityGroup, IVpc, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { Role } from 'aws-cdk-lib/aws-iam';
import { Alias, Architecture, Code, Function, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { bundledCode } from './assets';
import { environment, refuseCycles, secretsAmong } from './environment';
import { acknowledgeRules } from './nag';
import { functionRole } from './role';
import { secretOf } from './secret';
import { addSessions, sessionQueues, SessionQueues, VerifiedSessionsProps } from './sessions';
import { attachTriggers, isOwned, TriggerProps } from './triggers';
import { RiskgateVariables } from './variables';
import { addWatch } from './watch';

/** The props of {@link Riskgate}: the user pool, the variables, and what the stack creates. Only `userPool` is required. */
export interface RiskgateProps extends RiskgateVariables, TriggerProps {
  /**
   * The name of the function, and the prefix of the names of its log group, dashboard and alarms. Commands of docs/RUNBOOK.md use the
   * default.
   * @default riskgate
   */
  readonly functionName?: string;
  /**
   * The function's package.
   * @default the one in this npm package, for `architecture`
   */
  readonly code?: Code;
  /**
   * The architecture of `code`.
   * @default Architecture.ARM_64
   */
  readonly architecture?: Architecture;
  /**
   * Memory in MB; the share of CPU grows with it.
   * @default 256
   */
  readonly memorySize?: number;
  /**
   * Reserved concurrency. Sign-ins beyond it fail.
   * @default the account's pool
   */
  readonly reservedConcurrency?: number;
  /**
   * The VPC of the function, if the store or a service is inside one.
   * @default none
   */
  readonly vpc?: IVpc;
  /**
   * Subnets of `vpc`.
   * @default its private subnets
   */
  readonly vpcSubnets?: SubnetSelection;
  /**
   * Security groups in `vpc`.
   * @default a new one
   */
  readonly securityGroups?: readonly ISecurityGroup[];
  /**
   * The ARN of the SES identity that sends the codes of challenges (`challengeFrom`).
   * @default none: a webhook delivers them
   */
  readonly challengeIdentityArn?: string;
  /**
   * Most DynamoDB read units a second. Beyond it a sign-in is scored without history.
   * @default 1500
   */
  readonly maxReadUnits?: number;
  /**
   * Most DynamoDB write units a second. One sign-in costs about five.
   * @default 1500
   */
  readonly maxWriteUnits?: number;
  /**
   * Retention of audit lines; they contain pseudonyms, not names.
   * @default RetentionDays.THREE_MONTHS
   */
  readonly logRetention?: RetentionDays;
  /**
   * The topic for alarms.
   * @default none
   */
  readonly alarmTopic?: ITopic;
  /**
   * Verified sessions (experimental, docs/SESSIONS.md): a queue, and a second function that judges each sign-in again with the address that Cognito
   * saw. `{}` turns them on. The user pool needs session tracking: `deploy/attach apply POOL --session-tracking`.
   * @default none
   */
  readonly verifiedSessions?: VerifiedSessionsProps;
  /**
   * More environment variables, such as `RISKGATE_DENY_AT__<client id>`, which sets a variable for one app client.
   * @default none
   */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * riskgate behind a user pool: the function with the alias `live`, its history table, pseudonym key, permissions, alarms and dashboard. It
 * starts in monitor mode: it scores every sign-in and denies none.
 */
export class Riskgate extends Construct {
  /** The function. */
  readonly function: Function;
  /** The alias `live`, which the user pool calls. */
  readonly alias: Alias;
  /** The function's role. */
  readonly role: Role;
  /** The log group with the audit lines. */
  readonly logGroup: LogGroup;
  /** The history table, unless `store` names another store. */
  readonly table?: Table;
  /** The secret with the pseudonym key, unless `pseudonymKey` is given. */
  readonly pseudonymSecret?: Secret;
  /** The function that judges sessions, with `verifiedSessions`. */
  readonly sessionFunction?: Function;

  constructor(scope: Construct, id: string, props: RiskgateProps) {
    super(scope, id);
    if (props.challengeTriggers && !props.challengeFrom && !props.challengeWebhook) {
      throw new Error('challengeTriggers without challengeFrom or challengeWebhook: no code could be sent');
    }
    if (props.verifiedSessions && props.sessionQueue) throw new Error('verifiedSessions makes its own queue: leave sessionQueue out');
    const functionName = props.functionName ?? 'riskgate';
    const maxWriteUnits = props.maxWriteUnits ?? 1500;
    this.logGroup = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/lambda/${functionName}`,
      retention: props.logRetention ?? RetentionDays.THREE_MONTHS,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    if (!props.store) this.table = historyTable(this, props.maxReadUnits ?? 1500, maxWriteUnits);
    if (!props.pseudonymKey) this.pseudonymSecret = pseudonymSecret(this);
    const secrets: ISecret[] = secretsAmong(props).map(secretOf);
    const queues = props.verifiedSessions && sessionQueues(this, functionName);
    this.role = functionRole(this, {
      logGroup: this.logGroup,
      table: this.table,
      secrets,
      challengeIdentityArn: props.challengeIdentityArn,
      sessionQueueArn: queues?.queue.queueArn,
      inVpc: props.vpc !== undefined,
    });
    const variables = this.variables(props, queues);
    if (isOwned(props.userPool)) refuseCycles(variables, Stack.of(props.userPool));
    this.function = this.createFunction(functionName, variables, props);
    this.alias = new Alias(this, 'Alias', { aliasName: 'live', version: this.function.currentVersion });
    attachTriggers(this, this.alias, props);
    if (queues) this.sessionFunction = this.createSessionFunction(functionName, variables, queues, secrets, props);
    addWatch(this, {
      functionName,
      logGroupName: this.logGroup.logGroupName,
      tableName: this.table?.tableName ?? '',
      alarmTopicArn: props.alarmTopic?.topicArn ?? '',
      maxWriteUnits,
    });
    this.addOutputs(functionName);
    acknowledgeRules(this);
  }

  private variables(props: RiskgateProps, queues?: SessionQueues): Record<string, string> {
    return {
      RISKGATE_MODE: 'monitor',
      ...(this.table && { RISKGATE_STORE: `dynamodb://${this.table.tableName}` }),
      // The key is a literal in the function's configuration, as in the SAM template: the dynamic reference is resolved at deployment.
      ...(this.pseudonymSecret && { RISKGATE_PSEUDONYM_KEY: `k1:${this.pseudonymSecret.secretValue.unsafeUnwrap()}` }),
      ...(queues && { RISKGATE_SESSION_QUEUE: queues.queue.queueUrl }),
      ...environment(props),
      ...props.environment,
    };
  }

  private createFunction(functionName: string, variables: Record<string, string>, props: RiskgateProps): Function {
    const architecture = props.architecture ?? Architecture.ARM_64;
    return new Function(this, 'Function', {
      functionName,
      description: 'riskgate: Cognito pre-authentication, post-authentication and pre-token-generation trigger',
      code: props.code ?? bundledCode(architecture),
      handler: 'bootstrap',
      runtime: Runtime.PROVIDED_AL2023,
      architecture,
      memorySize: props.memorySize ?? 256,
      // Cognito waits five seconds and then tries again. The function must end before.
      timeout: Duration.seconds(4),
      // Without this, the construct library adds managed policies for VPCs.
      role: this.role.withoutPolicyUpdates(),
      reservedConcurrentExecutions: props.reservedConcurrency,
      vpc: props.vpc,
      vpcSubnets: props.vpcSubnets,
      securityGroups: props.securityGroups && [...props.securityGroups],
      logGroup: this.logGroup,
      environment: variables,
      // A rollback needs the earlier versions.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
    });
  }

  private createSessionFunction(functionName: string, variables: Record<string, string>, queues: SessionQueues, secrets: ISecret[], props: RiskgateProps): Function {
    const architecture = props.architecture ?? Architecture.ARM_64;
    const lists = props.sessionSource !== 'auth_events';
    return addSessions(this, {
      ...props.verifiedSessions,
      functionName,
      code: props.code ?? bundledCode(architecture),
      architecture,
      variables,
      queues,
      userPool: props.userPool,
      lists,
      revokes: lists && props.sessionOnDeny === 'revoke',
      table: this.table,
      secrets,
      vpc: props.vpc,
      vpcSubnets: props.vpcSubnets,
      securityGroups: props.securityGroups,
      logRetention: props.logRetention ?? RetentionDays.THREE_MONTHS,
      alarmTopicArn: props.alarmTopic?.topicArn ?? '',
    });
  }

  private addOutputs(functionName: string): void {
    new CfnOutput(this, 'FunctionAliasArn', { value: this.alias.functionArn, description: "the ARN that the user pool's triggers call" });
    new CfnOutput(this, 'Version', { value: this.function.currentVersion.version, description: 'the version that the alias points at' });
    if (this.table) new CfnOutput(this, 'TableName', { value: this.table.tableName, description: 'the history table, as in RISKGATE_STORE=dynamodb://TABLE' });
    if (this.pseudonymSecret) {
      new CfnOutput(this, 'PseudonymSecretArn', { value: this.pseudonymSecret.secretArn, description: 'the secret with the pseudonym key' });
    }
    const url = `https://\${AWS::Region}.console.aws.amazon.com/cloudwatch/home?region=\${AWS::Region}#dashboards:name=${functionName}`;
    new CfnOutput(this, 'Dashboard', { value: Fn.sub(url), description: 'the dashboard' });
  }
}

function historyTable(scope: Construct, maxReadRequestUnits: number, maxWriteRequestUnits: number): Table {
  return new Table(scope, 'History', {
    partitionKey: { name: 'pk', type: AttributeType.STRING },
    sortKey: { name: 'sk', type: AttributeType.STRING },
    billingMode: BillingMode.PAY_PER_REQUEST,
    // Any client can send sign-ins without a password. This limits their cost.
    maxReadRequestUnits,
    maxWriteRequestUnits,
    timeToLiveAttribute: 'exp',
    encryption: TableEncryption.AWS_MANAGED,
    // The history took months to learn.
    removalPolicy: RemovalPolicy.RETAIN,
  });
}

function pseudonymSecret(scope: Construct): Secret {
  return new Secret(scope, 'PseudonymSecret', {
    description: "riskgate's pseudonym key",
    // 64 of [A-Za-z0-9] are valid base64url for 48 bytes.
    generateSecretString: { passwordLength: 64, excludePunctuation: true, includeSpace: false },
    // Without this key no stored history can be found again.
    removalPolicy: RemovalPolicy.RETAIN,
  });
}
