"""Makes the database: `python -m shop.prepare`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from django.core.management import call_command  # noqa: E402

from shop.models import Category, Product  # noqa: E402

call_command("migrate", run_syncdb=True, verbosity=0)
categories = [Category.objects.create(name=f"Shelf {number}") for number in range(10)]
Product.objects.bulk_create(
    Product(
        name=f"Product {number:03}",
        category=categories[number % 10],
        price=number,
        description="Made by hand & sent within a day. " * 3,
    )
    for number in range(200)
)
