import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { CfnAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import { asset } from './assets';

/** What the alarms, the dashboard and the saved queries refer to. */
export interface WatchProps {
  /** The function's name. */
  readonly functionName: string;
  /** The name of its log group. */
  readonly logGroupName: string;
  /** The name of the history table; empty without one. */
  readonly tableName: string;
  /** The ARN of the topic for alarms; empty for none. */
  readonly alarmTopicArn: string;
  /** The table's maximum of write units a second. */
  readonly maxWriteUnits: number;
}

/** The default of `budget`, which the latency graph shows. */
const BUDGET_SECONDS = 2.5;

/** Adds the alarms, the dashboard and the saved queries of deploy/cloudwatch/watch.yaml, which the SAM template nests. */
export function addWatch(scope: Construct, props: WatchProps): void {
  const included = new CfnInclude(scope, 'Watch', {
    templateFile: asset('watch.yaml'),
    preserveLogicalIds: false,
    parameters: {
      FunctionName: props.functionName,
      LogGroupName: props.logGroupName,
      TableName: props.tableName,
      AlarmTopicArn: props.alarmTopicArn,
      MaxWriteUnits: props.maxWriteUnits,
      BudgetSeconds: BUDGET_SECONDS,
    },
  });
  const actions = props.alarmTopicArn ? [props.alarmTopicArn] : undefined;
  for (const alarm of included.node.children.filter((child): child is CfnAlarm => child instanceof CfnAlarm)) {
    // Whether there is a topic is known here, so its condition is not needed.
    if (alarm.alarmActions) alarm.alarmActions = actions;
    if (alarm.okActions) alarm.okActions = actions;
  }
  included.node.tryRemoveChild('$Conditions');
  if (!props.tableName) included.node.tryRemoveChild('TableThrottled');
}
