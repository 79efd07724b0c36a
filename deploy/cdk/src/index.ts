export { Riskgate, RiskgateProps } from './riskgate';
export { SecretField, SecretSource } from './secret';
export { VerifiedSessionsProps } from './sessions';
export { RiskgateTrigger, TriggerProps } from './triggers';
export { RiskgateVariables } from './variables';
