"""Makes the tables, one user, one Stripe account and one webhook endpoint, in an empty database."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from djstripe.models import Account, APIKey, WebhookEndpoint

ENDPOINT = "00000000-0000-4000-8000-000000000001"


class Command(BaseCommand):
    """Runs once per database."""

    help = __doc__

    def handle(self, *args, **options):
        call_command("migrate", "auth", verbosity=0)  # first: dj-stripe's tables refer to it
        call_command("migrate", run_syncdb=True, verbosity=0)
        call_command("createcachetable", verbosity=0)

        get_user_model().objects.create_user("alice", password="wonderland")
        # With the account known, dj-stripe has no reason to ask Stripe who owns the key.
        account = Account.objects.create(id="acct_e2e", livemode=False)
        key, _ = APIKey.objects.get_or_create_by_api_key(settings.STRIPE_TEST_SECRET_KEY)
        APIKey.objects.filter(pk=key.pk).update(djstripe_owner_account=account)
        WebhookEndpoint.objects.create(
            id="we_e2e",
            djstripe_uuid=ENDPOINT,
            djstripe_owner_account=account,
            url=f"https://www.example.com/stripe/webhook/{ENDPOINT}/",
            secret="whsec_e2e",
            status="enabled",
            enabled_events=["*"],
            livemode=False,
        )
