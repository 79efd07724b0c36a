import { Validations } from 'aws-cdk-lib';
import { IConstruct } from 'constructs';

/** Rules of cdk-nag's pack AwsSolutions that the construct does not follow, by the path of the construct below it. */
const ACKNOWLEDGED: Readonly<Record<string, readonly [rule: string, reason: string][]>> = {
  History: [
    ['AwsSolutions-DDB3', 'a backup of every second would keep the history of forgotten users for 35 days; the history is learned again from sign-ins'],
  ],
  PseudonymSecret: [['AwsSolutions-SMG4', 'pseudonyms of stored records are made with this key: its rotation has steps (docs/RUNBOOK.md) and is not automatic']],
  PoolBackup: [['AwsSolutions-SMG4', 'contains a copy of settings, no credential']],
  AttachRole: [
    [
      'AwsSolutions-IAM5[Resource::*]',
      "an update of a user pool sends its role for text messages again, whichever it is; it may be passed to Cognito only. SES's GetAccount has no resource",
    ],
  ],
  Attach: [['AwsSolutions-L1', 'the version that deploy/attach is tested with']],
};

/** Acknowledges each rule where it does not apply, with the reason. */
export function acknowledgeRules(scope: IConstruct): void {
  for (const [path, rules] of Object.entries(ACKNOWLEDGED)) {
    const construct = path.split('/').reduce<IConstruct | undefined>((parent, id) => parent?.node.tryFindChild(id), scope);
    if (construct) rules.forEach(([id, reason]) => Validations.of(construct).acknowledge({ id, reason }));
  }
}
