import { Duration, Reference, Stack, Tokenization } from 'aws-cdk-lib';
import { CfnUserPool, CfnUserPoolClient } from 'aws-cdk-lib/aws-cognito';
import { IConstruct } from 'constructs';
import { reference, SecretSource } from './secret';
import { RiskgateVariables, VARIABLES } from './variables';

type Value = RiskgateVariables[keyof RiskgateVariables];
type Entry = [name: string, value: string];

/** Returns the secrets among the props. */
export function secretsAmong(props: RiskgateVariables): SecretSource[] {
  return Object.keys(VARIABLES)
    .map((prop) => props[prop as keyof RiskgateVariables])
    .filter(isSecret);
}

/** Returns the environment variables of the props that are set. */
export function environment(props: RiskgateVariables): Record<string, string> {
  const entries = Object.entries(VARIABLES).flatMap(([prop, name]): Entry[] => {
    const value = props[prop as keyof RiskgateVariables];
    return value === undefined ? [] : [[name, text(value)]];
  });
  return Object.fromEntries(entries);
}

/**
 * Fails if a value refers to a user pool or an app client of `stack`: the pool refers to the function by its triggers, and CloudFormation
 * refuses such a cycle only at deployment.
 */
export function refuseCycles(variables: Record<string, string>, stack: Stack): void {
  for (const [name, value] of Object.entries(variables)) {
    const target = Tokenization.reverseString(value)
      .tokens.filter(Reference.isReference)
      .map((token): IConstruct => token.target)
      .find((construct) => construct instanceof CfnUserPool || construct instanceof CfnUserPoolClient);
    if (target && Stack.of(target) === stack) {
      throw new Error(
        `${name} refers to ${target.node.path}, whose user pool refers to riskgate's function: CloudFormation refuses this cycle. ` +
          'Deploy first, then set the id as a literal text, for example from the context of cdk.json',
      );
    }
  }
}

function text(value: NonNullable<Value>): string {
  if (isSecret(value)) return reference(value);
  if (value instanceof Duration) return `${value.toMilliseconds()}ms`;
  return Array.isArray(value) ? value.join(',') : String(value);
}

function isSecret(value: Value): value is SecretSource {
  return typeof value === 'object' && ('secret' in value || 'secretArn' in value);
}
