// A Django site on App Service with its database: plan, web app with a staging slot, Flexible Server,
// Key Vault. Secrets are in the vault; the app reads them by its own identity.
//
//   az deployment group create --resource-group example --template-file deploy/azure/main.bicep \
//     --parameters name=example-app host=www.example.com databasePassword=… secretKey=… statusToken=…

@description('Name of the web app; other names are made from it.')
@minLength(2)
@maxLength(20)
param name string

@description('The public name of the site, one of ALLOWED_HOSTS; empty for the default name.')
param host string = ''

param location string = resourceGroup().location

@description('Size of the plan; slots need Standard or better.')
param planSku string = 'P0v3'

@description('How many instances run the site.')
@minValue(1)
param instances int = 2

@secure()
@description('Password of the administrator of the database.')
param databasePassword string

@secure()
@description('SECRET_KEY of Django.')
param secretKey string

@secure()
@description('What `forebay status` shows to be let in.')
param statusToken string

var databaseUser = 'site'
var vaultName = take('${name}-${uniqueString(resourceGroup().id)}', 24)
// The password is written as URLs have it, whatever is in it.
var databaseUrl = 'postgres://${databaseUser}:${uriComponent(databasePassword)}@${database.properties.fullyQualifiedDomainName}:5432/site?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt'

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: name
  location: location
  kind: 'linux'
  sku: {
    name: planSku
    capacity: instances
  }
  properties: {
    reserved: true
  }
}

// The settings of the site; the same for the slot, so that a swap changes nothing but the release.
// Without a host of its own it goes by the name that the platform gives, WEBSITE_HOSTNAME.
var appSettings = concat(empty(host) ? [] : [{ name: 'FOREBAY_HOST', value: host }], [
  { name: 'SECRET_KEY', value: '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=secret-key)' }
  { name: 'DATABASE_URL', value: '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=database-url)' }
  { name: 'FOREBAY_STATUS_TOKEN', value: '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=status-token)' }
  // A stop may take as long as an ordinary request, and forebay knows how long that is.
  { name: 'WEBSITES_CONTAINER_STOP_TIME_LIMIT', value: '30' }
  { name: 'FOREBAY_DRAIN_DEADLINE', value: '25s' }
  // forebay holds the warm-up until Django answers: migrations have ten minutes.
  { name: 'WEBSITES_CONTAINER_START_TIME_LIMIT', value: '600' }
  { name: 'WEBSITE_HEALTHCHECK_MAXPINGFAILURES', value: '3' }
  // The platform installs requirements.txt; static files come collected and compressed.
  { name: 'SCM_DO_BUILD_DURING_DEPLOYMENT', value: 'true' }
  { name: 'DISABLE_COLLECTSTATIC', value: 'true' }
])

var siteConfig = {
  linuxFxVersion: 'PYTHON|3.13'
  appCommandLine: 'forebay run'
  alwaysOn: true
  healthCheckPath: '/healthz'
  ftpsState: 'Disabled'
  minTlsVersion: '1.2'
  scmMinTlsVersion: '1.2'
  http20Enabled: true
  webSocketsEnabled: true
  appSettings: appSettings
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  kind: 'app,linux'
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    siteConfig: siteConfig
  }
}

resource staging 'Microsoft.Web/sites/slots@2024-04-01' = {
  parent: app
  name: 'staging'
  location: location
  kind: 'app,linux'
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    siteConfig: siteConfig
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers@2024-08-01' = {
  name: '${name}-db'
  location: location
  sku: {
    name: 'Standard_B2s'
    tier: 'Burstable'
  }
  properties: {
    version: '17'
    administratorLogin: databaseUser
    administratorLoginPassword: databasePassword
    storage: {
      storageSizeGB: 32
      autoGrow: 'Enabled'
    }
    backup: {
      backupRetentionDays: 14
      geoRedundantBackup: 'Disabled'
    }
    highAvailability: {
      mode: 'Disabled'
    }
  }
}

resource schema 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2024-08-01' = {
  parent: database
  name: 'site'
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
}

// On by default; said here so that nobody can turn it off unseen.
resource onlyTls 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: database
  name: 'require_secure_transport'
  properties: {
    value: 'on'
    source: 'user-override'
  }
}

resource noOldTls 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: database
  name: 'ssl_min_protocol_version'
  properties: {
    value: 'TLSv1.2'
    source: 'user-override'
  }
  // The server takes one change at a time.
  dependsOn: [
    onlyTls
  ]
}

// Lets Azure's own addresses in; for a private network, use delegated subnets in its place.
resource fromAzure 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2024-08-01' = {
  parent: database
  name: 'azure'
  properties: {
    startIpAddress: '0.0.0.0'
    endIpAddress: '0.0.0.0'
  }
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: vaultName
  location: location
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: true
  }
}

resource secretKeySecret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'secret-key'
  properties: {
    value: secretKey
  }
}

resource databaseUrlSecret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'database-url'
  properties: {
    value: databaseUrl
  }
}

resource statusTokenSecret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'status-token'
  properties: {
    value: statusToken
  }
}

// Key Vault Secrets User.
var reader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource appReads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, app.id, reader)
  scope: vault
  properties: {
    roleDefinitionId: reader
    principalId: app.identity.principalId
    principalType: 'ServicePrincipal'
  }
}

resource stagingReads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, staging.id, reader)
  scope: vault
  properties: {
    roleDefinitionId: reader
    principalId: staging.identity.principalId
    principalType: 'ServicePrincipal'
  }
}

output url string = 'https://${app.properties.defaultHostName}'
output stagingUrl string = 'https://${staging.properties.defaultHostName}'
