export { Riskgate, RiskgateProps } from './riskgate';
export { SecretField, SecretSource } from './secret';
export { RiskgateTrigger, TriggerProps } from './triggers';
export { RiskgateVariables } from './variables';
