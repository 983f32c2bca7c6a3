// A Django site on Container Apps: forebay (deploy/Dockerfile) as a container beside the site's own.
// A sidecar sees neither the site's files nor its commands: keep WhiteNoise in the site (or share the
// files by a volume and say --static), and run `migrate` in a job of its own. With an image of
// deploy/site.Dockerfile one container is enough and does both; then leave the container `forebay` out,
// give its probes to `site`, and remove `command` and `args` there: it listens at 8000 itself.
//
//   az deployment group create --resource-group example --template-file deploy/azure/container-app.bicep \
//     --parameters name=site environmentId=… forebayImage=… siteImage=… host=www.example.com \
//       secretKey=… databaseUrl=…

@description('Name of the container app.')
param name string

@description('Resource id of the Container Apps environment.')
param environmentId string

@description('The image that deploy/Dockerfile makes.')
param forebayImage string

@description('The image of the site.')
param siteImage string

@description('The public name of the site, one of ALLOWED_HOSTS.')
param host string

param location string = resourceGroup().location

@secure()
param secretKey string

@secure()
param databaseUrl string

resource app 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    environmentId: environmentId
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: true
        targetPort: 8000
        transport: 'auto'
        allowInsecure: false
      }
      secrets: [
        { name: 'secret-key', value: secretKey }
        { name: 'database-url', value: databaseUrl }
      ]
    }
    template: {
      terminationGracePeriodSeconds: 45
      containers: [
        {
          name: 'forebay'
          image: forebayImage
          // --concurrency is gunicorn's workers × threads.
          args: [ 'proxy', '--upstream', '127.0.0.1:8001', '--host', host, '--concurrency', '8' ]
          env: [
            { name: 'FOREBAY_DRAIN_DEADLINE', value: '30s' }
          ]
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
          probes: [
            {
              type: 'Readiness'
              httpGet: { path: '/healthz', port: 8000 }
              periodSeconds: 5
              timeoutSeconds: 5
            }
            {
              type: 'Liveness'
              tcpSocket: { port: 8000 }
              periodSeconds: 10
            }
          ]
        }
        {
          name: 'site'
          image: siteImage
          command: [ 'gunicorn' ]
          args: [ '--bind', '127.0.0.1:8001', '--worker-class', 'gthread', '--threads', '8', 'mysite.wsgi' ]
          env: [
            { name: 'SECRET_KEY', secretRef: 'secret-key' }
            { name: 'DATABASE_URL', secretRef: 'database-url' }
          ]
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
        }
      ]
      scale: {
        minReplicas: 1
        maxReplicas: 4
      }
    }
  }
}

output url string = 'https://${app.properties.configuration.ingress.fqdn}'
