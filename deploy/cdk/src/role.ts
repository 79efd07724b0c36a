import { ITable } from 'aws-cdk-lib/aws-dynamodb';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { ILogGroup } from 'aws-cdk-lib/aws-logs';
import { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { policyArn } from './secret';

/** What the function may use. */
export interface RoleProps {
  /** The log group that it writes. */
  readonly logGroup: ILogGroup;
  /** The history table. */
  readonly table?: ITable;
  /** The secrets that it reads. */
  readonly secrets: readonly ISecret[];
  /** The ARN of the SES identity that sends codes. */
  readonly challengeIdentityArn?: string;
  /** The ARN of the queue of verified sessions. */
  readonly sessionQueueArn?: string;
  /** Whether it runs in a VPC. */
  readonly inVpc: boolean;
}

/** Returns a role with the policies of deploy/template.yaml; a test compares them. */
export function functionRole(scope: Construct, props: RoleProps): Role {
  const policies: Record<string, PolicyDocument> = {
    logs: allow(['logs:CreateLogStream', 'logs:PutLogEvents'], [props.logGroup.logGroupArn]),
  };
  if (props.table) policies.history = allow(HISTORY_ACTIONS, [props.table.tableArn]);
  if (props.sessionQueueArn) policies['riskgate-sessions'] = allow(['sqs:SendMessage'], [props.sessionQueueArn]);
  if (props.challengeIdentityArn) policies.codes = allow(['ses:SendEmail'], [props.challengeIdentityArn]);
  if (props.secrets.length) policies.keys = allow(['secretsmanager:GetSecretValue'], [...new Set(props.secrets.map(policyArn))]);
  if (props.inVpc) policies['network-interfaces'] = allow(NETWORK_ACTIONS, ['*']);
  const role = new Role(scope, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com'), inlinePolicies: policies });
  props.secrets.forEach((secret) => secret.encryptionKey?.grantDecrypt(role));
  return role;
}

/** The actions on the history table. */
export const HISTORY_ACTIONS = ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:Query'];

/** The actions of a function in a VPC. They have no resource. */
export const NETWORK_ACTIONS = [
  'ec2:CreateNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:DeleteNetworkInterface',
  'ec2:AssignPrivateIpAddresses',
  'ec2:UnassignPrivateIpAddresses',
];

/** Returns a policy that allows actions on resources. */
export function allow(actions: string[], resources: string[]): PolicyDocument {
  return new PolicyDocument({ statements: [new PolicyStatement({ actions, resources })] });
}
