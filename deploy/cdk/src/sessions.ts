import { CfnOutput, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { CfnAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import { IUserPool } from 'aws-cdk-lib/aws-cognito';
import { ITable } from 'aws-cdk-lib/aws-dynamodb';
import { ISecurityGroup, IVpc, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { CfnRolePolicy, PolicyDocument, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, CfnEventSourceMapping, Code, Function, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { allow, HISTORY_ACTIONS, NETWORK_ACTIONS } from './role';
import { policyArn } from './secret';
import { isOwned } from './triggers';

/** Settings of verified sessions (experimental, docs/SESSIONS.md). The variables `session..` are props of the construct itself. */
export interface VerifiedSessionsProps {
  /**
   * Most batches of ten look-ups at the same time, at least 2.
   * @default 2
   */
  readonly maxConcurrency?: number;
}

/** What the session function needs of the construct. */
export interface SessionFunctionProps extends VerifiedSessionsProps {
  /** The name of the trigger's function. */
  readonly functionName: string;
  /** The function's package. */
  readonly code: Code;
  /** The architecture of `code`. */
  readonly architecture: Architecture;
  /** The variables of the trigger's function: both score alike. */
  readonly variables: Record<string, string>;
  /** The queue of look-ups. */
  readonly queues: SessionQueues;
  /** The user pool. */
  readonly userPool: IUserPool;
  /** Whether the source is that of tracked sessions, not of authentication events. */
  readonly lists: boolean;
  /** Whether denied sessions are revoked. */
  readonly revokes: boolean;
  /** The history table. */
  readonly table?: ITable;
  /** The secrets of the variables. */
  readonly secrets: readonly ISecret[];
  /** The VPC of the trigger's function. */
  readonly vpc?: IVpc;
  /** Subnets of `vpc`. */
  readonly vpcSubnets?: SubnetSelection;
  /** Security groups in `vpc`. */
  readonly securityGroups?: readonly ISecurityGroup[];
  /** Retention of audit lines. */
  readonly logRetention: RetentionDays;
  /** The ARN of the topic for alarms; empty for none. */
  readonly alarmTopicArn: string;
}

/** The queue of look-ups, and that of messages that failed three times. */
export interface SessionQueues {
  /** The queue of look-ups. */
  readonly queue: Queue;
  /** Messages that failed three times. */
  readonly deadLetters: Queue;
}

/** Creates the queues of deploy/sessions.yaml; a test compares them. */
export function sessionQueues(scope: Construct, functionName: string): SessionQueues {
  const deadLetters = new Queue(scope, 'SessionDeadLetters', {
    queueName: `${functionName}-sessions-dead`,
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    retentionPeriod: Duration.days(1),
  });
  const queue = new Queue(scope, 'SessionQueue', {
    queueName: `${functionName}-sessions`,
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    // A message names a user. It is of no use after this time.
    retentionPeriod: Duration.minutes(15),
    // Six times the function's timeout, as AWS recommends, so no message is judged by two at once.
    visibilityTimeout: Duration.minutes(3),
    deadLetterQueue: { queue: deadLetters, maxReceiveCount: 3 },
  });
  return { queue, deadLetters };
}

/** Adds the session function of deploy/sessions.yaml with its role, its event source and its alarms; a test compares them. */
export function addSessions(scope: Construct, props: SessionFunctionProps): Function {
  const name = `${props.functionName}-sessions`;
  const { queue, deadLetters } = props.queues;
  const logGroup = new LogGroup(scope, 'SessionLogs', {
    logGroupName: `/aws/lambda/${name}`,
    retention: props.logRetention,
    removalPolicy: RemovalPolicy.RETAIN,
  });
  const sessions = new Function(scope, 'Sessions', {
    functionName: name,
    description: 'riskgate: judges sign-ins again with the address of their session',
    code: props.code,
    handler: 'bootstrap',
    runtime: Runtime.PROVIDED_AL2023,
    architecture: props.architecture,
    memorySize: 256,
    timeout: Duration.seconds(30),
    // Without this, the construct library adds managed policies for VPCs.
    role: sessionRole(scope, logGroup, props).withoutPolicyUpdates(),
    vpc: props.vpc,
    vpcSubnets: props.vpcSubnets,
    securityGroups: props.securityGroups && [...props.securityGroups],
    logGroup,
    environment: props.variables,
  });
  new CfnEventSourceMapping(scope, 'SessionMessages', {
    eventSourceArn: queue.queueArn,
    functionName: sessions.functionName,
    batchSize: 10,
    functionResponseTypes: ['ReportBatchItemFailures'],
    scalingConfig: { maximumConcurrency: props.maxConcurrency ?? 2 },
  });
  addAlarms(scope, props.functionName, queue, deadLetters, props.alarmTopicArn);
  new CfnOutput(scope, 'SessionQueueUrl', { value: queue.queueUrl, description: 'the queue of verified sessions' });
  return sessions;
}

function sessionRole(scope: Construct, logGroup: LogGroup, props: SessionFunctionProps): Role {
  const action = props.lists ? 'cognito-idp:AdminListUserSessions' : 'cognito-idp:AdminListUserAuthEvents';
  const actions = props.revokes ? [action, 'cognito-idp:AdminRevokeUserSession'] : [action];
  const ofPool = allow(actions, [props.userPool.userPoolArn]);
  // A pool of another stack refers to that of riskgate by its triggers, so the policy is in the pool's stack.
  const isElsewhere = isOwned(props.userPool) && Stack.of(props.userPool) !== Stack.of(scope);
  const policies: Record<string, PolicyDocument> = {
    logs: allow(['logs:CreateLogStream', 'logs:PutLogEvents'], [logGroup.logGroupArn]),
    queue: allow(['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:SendMessage'], [props.queues.queue.queueArn]),
  };
  if (!isElsewhere) policies.sessions = ofPool;
  if (props.table) policies.history = allow(HISTORY_ACTIONS, [props.table.tableArn]);
  if (props.secrets.length) policies.keys = allow(['secretsmanager:GetSecretValue'], [...new Set(props.secrets.map(policyArn))]);
  if (props.vpc) policies['network-interfaces'] = allow(NETWORK_ACTIONS, ['*']);
  const role = new Role(scope, 'SessionRole', { assumedBy: new ServicePrincipal('lambda.amazonaws.com'), inlinePolicies: policies });
  props.secrets.forEach((secret) => secret.encryptionKey?.grantDecrypt(role));
  if (isElsewhere) new CfnRolePolicy(props.userPool, 'RiskgateSessions', { roleName: role.roleName, policyName: 'sessions', policyDocument: ofPool });
  return role;
}

function addAlarms(scope: Construct, functionName: string, queue: Queue, deadLetters: Queue, topicArn: string): void {
  const alarmActions = topicArn ? [topicArn] : undefined;
  const common = { alarmActions, comparisonOperator: 'GreaterThanThreshold', treatMissingData: 'notBreaching' };
  new CfnAlarm(scope, 'SessionDeadLetterAlarm', {
    ...common,
    alarmName: `${functionName}-session-dead-letters`,
    alarmDescription: 'Sign-ins whose session could not be judged (SESSIONS: dead letters)',
    namespace: 'AWS/SQS',
    metricName: 'ApproximateNumberOfMessagesVisible',
    dimensions: [{ name: 'QueueName', value: deadLetters.queueName }],
    statistic: 'Maximum',
    period: 300,
    evaluationPeriods: 1,
    threshold: 0,
  });
  new CfnAlarm(scope, 'SessionLagAlarm', {
    ...common,
    alarmName: `${functionName}-session-lag`,
    alarmDescription: 'Sessions are judged more than four minutes after the sign-in (SESSIONS: lag)',
    namespace: 'AWS/SQS',
    metricName: 'ApproximateAgeOfOldestMessage',
    dimensions: [{ name: 'QueueName', value: queue.queueName }],
    statistic: 'Maximum',
    period: 60,
    evaluationPeriods: 5,
    datapointsToAlarm: 3,
    threshold: 240,
  });
  new CfnAlarm(scope, 'SessionFailureAlarm', {
    ...common,
    alarmName: `${functionName}-session-failures`,
    alarmDescription: 'Look-ups of sessions fail: queue, permission, tracking or API (SESSIONS: failures)',
    namespace: 'riskgate',
    metricName: 'riskgate_session_failures_total',
    statistic: 'Sum',
    period: 300,
    evaluationPeriods: 3,
    datapointsToAlarm: 2,
    threshold: 5,
  });
}
