"""What the shop sells."""

from django.db import models


class Category(models.Model):
    """A shelf."""

    name = models.CharField(max_length=100)


class Product(models.Model):
    """Something on a shelf."""

    name = models.CharField(max_length=100, db_index=True)
    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="products")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    description = models.TextField()
