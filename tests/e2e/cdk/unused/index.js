// Takes the place of Amplify's packages for data APIs: the names that others import from them.
exports.AmplifyData = exports.AmplifyDataDefinition = exports.AmplifyDynamoDbTableWrapper = undefined;
exports.generateModels = exports.generateModelsSync = exports.generateStatements = exports.generateTypes = exports.getOutputFileName = undefined;
